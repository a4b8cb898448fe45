"""`postern spam test` on a small corpus made here: mails as they come in files, what is passed
over, order, and figures held against every pair of a ham and a spam counted one by one.
"""
import csv
import json
import os
import random
import subprocess

import pytest

from lab import proc

HAM = ("meeting notes for the build server", "the patch applies cleanly to the tree",
       "thanks, the antenna works with the tuner", "minutes of the board, and the agenda")
SPAM = ("claim your prize now, dear winner", "cheap pills, no prescription, click here",
        "your account is suspended, verify at once", "million dollars transfer, urgent reply")
CONFIG = """\
hostname "mx.example.com"
spool "{spool}"
listen inbound on "127.0.0.1:2525"
domain "example.com" deliver to "127.0.0.1:2526"
{more}
inbound {{ accept }}
"""


def mail(number, text, day, end="\n"):
    words = text.split()
    random.Random(number).shuffle(words)
    return end.join((
        "Received: from a.example by mx.example.net;",
        f"\tTue, {day} Jan 2024 10:{number % 60:02}:00 +0000",
        f"From: Someone <p{number}@a{number % 5}.example>", "To: ann@example.com",
        f"Subject: {' '.join(words[:3])}", f"Message-ID: <{number}@a.example>",
        f"Date: Tue, {day} Jan 2024 09:00:00 +0000", "", text, " ".join(words), f"number {number}",
        "")).encode()


@pytest.fixture
def corpus(tmp_path):
    """40 ham and 40 spam that can be read: files with LF and CRLF, an mbox, a Maildir; and what is
    passed over: three files and a mail of an mbox."""
    folder = tmp_path / "corpus"
    for name in ("ham/deep/er", "ham/empty", "b/ham/cur", "b/ham/new", "b/ham/tmp", "b/spam",
                 "nothing"):
        (folder / name).mkdir(parents=True)
    for i in range(20):
        name = ("deep/er/" if i % 2 else "") + (f"{i} \n\u00fc.eml" if i == 7 else f"{i}.eml")
        (folder / "ham" / name).write_bytes(mail(i, HAM[i % 4], 2 + i))
    for i in range(20, 40):
        where = "cur" if i % 2 else "new"
        (folder / f"b/ham/{where}/{i}:2,S").write_bytes(mail(i, HAM[i % 4], i - 10, "\r\n"))
    (folder / "b/ham/tmp/x").write_bytes(mail(99, HAM[0], 1))
    with open(folder / "spam.mbox", "wb") as f:
        for i in range(100, 120):
            f.write(b"From x@y.example Sat Jan  6 09:05:00 2024\n"
                    + mail(i, SPAM[i % 4], i - 90) + b">From here\n\n")
        f.write(b"From x@y.example Sat Jan  6 09:05:00 2024\n\n")
    for i in range(120, 139):
        (folder / f"b/spam/{i}").write_bytes(mail(i, SPAM[i % 4], i - 110, "\r\n"))
    (folder / "b/spam/long").write_bytes(mail(139, SPAM[3], 31) + b"x" * 79 + b"\0\xff\n" * 200000)
    (folder / "b/spam/none").write_bytes(b"")
    (folder / "b/spam/list").write_bytes(b"mv 1 2\nmv 2 3\n")
    os.mkfifo(folder / "b/spam/pipe")
    return folder


def run(*words, config=None, status=0):
    before = ("-f", str(config)) if config else ()
    done = subprocess.run([proc.build_dir() / "bin/postern", *before, "spam", "test",
                           *map(str, words)], capture_output=True, text=True, timeout=120,
                          check=False, errors="surrogateescape", stdin=subprocess.DEVNULL)
    assert done.returncode == status, done.stderr
    return done


def trial(tmp_path, corpus, *words, config=None):
    """(what --json tells by mode, rows by mode, all that was told)."""
    rows = tmp_path / "rows.tsv"
    done = run("--json", "--rows", rows, *words, corpus, config=config)
    found = {}
    with open(rows, encoding="utf-8", errors="surrogateescape", newline="\n") as f:
        for row in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE):
            found.setdefault(row["mode"], []).append(row)
    told = json.loads(done.stdout)
    return {one["mode"]: one for one in told["modes"]}, found, told, done.stderr


def sums(rows, label):
    return [float(row["sum"]) for row in rows if row["label"] == label]


def above(rows):
    """Pairs in the wrong order, of all pairs."""
    ham, spam = sums(rows, "ham"), sums(rows, "spam")
    return sum((h > s) + (h == s) / 2 for h in ham for s in spam) / len(ham) / len(spam)


def test_figures(tmp_path, corpus):
    modes, rows, told, said = trial(tmp_path, corpus, "--parts")
    assert set(modes) == {"day one", "online", "60/40", "evidence alone", "shipped alone",
                          "raw view", "text view"}
    assert (told["mails"], told["passed_over"], told["undated"]) == (80, 4, 0)
    for text in ("b/spam/none is empty", "b/spam/list is no mail: there is no header field",
                 "b/spam/pipe is no regular file", "spam.mbox:21 is empty"):
        assert text in said, said
    for name, one in modes.items():
        mine = rows[name]
        ham, spam = sums(mine, "ham"), sums(mine, "spam")
        assert (one["ham"], one["spam"]) == (len(ham), len(spam))
        assert len(ham) == (16 if name == "60/40" else 40) == len(spam)
        assert one["above"] == pytest.approx(above(mine), abs=1e-4), name
        assert one["caught_0.1"] == sum(s > max(ham) for s in spam) / len(spam)
        assert one["lost_1"] == sum(h >= min(spam) for h in ham) / len(ham)
        for level in one["levels"]:
            wrong = [float(r["probability"]) > level["level"] for r in mine if r["label"] == "ham"]
            assert level["ham_over"] == pytest.approx(sum(wrong) / len(wrong))
            assert ("ham_over_below" in level) == (not any(wrong))
    later = rows["online"][40:]
    assert sum(one["mails"] for one in modes["online"]["calibration"]) == len(later) == 40
    assert above(later) == 0, "what was taught is known again"
    assert sum(sums(later, "spam")) > sum(sums(rows["day one"][40:], "spam"))


def test_order_and_dates(tmp_path, corpus):
    """In order of the dates, and of the file that says them."""
    _, rows, _, _ = trial(tmp_path, corpus, "--mode", "online")
    first = [row["path"].removeprefix(f"{corpus}/") for row in rows["online"]]
    assert first[0] == "ham/0.eml" and first[-1] == "b/spam/long"
    assert first[7] == "ham/deep/er/7 ?\u00fc.eml", "no control reaches a line"
    assert first.index("spam.mbox:1") < first.index("spam.mbox:20")
    dates = tmp_path / "dates.tsv"
    dates.write_text("label\tid\tdate\nspam\tb/spam/long\t2001-01-01T00:00:00\n"
                     "ham\t3.eml\tMon, 1 Jan 2001 00:00:01 +0000\nham\t5.eml\t\n", encoding="ascii")
    _, rows, _, _ = trial(tmp_path, corpus, "--mode", "online", "--dates", dates)
    again = [row["path"].removeprefix(f"{corpus}/") for row in rows["online"]]
    assert again[:3] == ["b/spam/long", "ham/deep/er/3.eml", "ham/0.eml"]
    dates.write_text("b/spam/long\tsoon\n", encoding="ascii")
    assert '"soon" is no date' in run("--dates", dates, corpus, status=1).stderr


def test_line_ends_are_the_same(tmp_path):
    """One mail with LF, with CRLF, in an mbox with either: one judgement."""
    text = mail(1, SPAM[0], 2)
    for name in ("a", "b", "c", "d"):
        (tmp_path / "corpus" / name).mkdir(parents=True)
        (tmp_path / "corpus" / name / "ham").mkdir()
    crlf = text.replace(b"\n", b"\r\n")
    line = b"From x@y.example Sat Jan  6 09:05:00 2024"
    for name, data in (("a", text), ("b", crlf), ("c", line + b"\n" + text + b"\n"),
                       ("d", line + b"\r\n" + crlf + b"\r\n")):
        (tmp_path / "corpus" / name / "ham/1").write_bytes(data)
    modes, rows, _, _ = trial(tmp_path, tmp_path / "corpus", "--parts", "--mode", "day-one")
    for mode in ("day one", "evidence alone"):
        assert len(rows[mode]) == 4 and len({row["sum"] for row in rows[mode]}) == 1, rows[mode]
    assert modes["day one"]["above"] is None and modes["day one"]["spam"] == 0


def test_table_and_worst(corpus):
    out = run("--worst", 2, "--mode", "day-one", "--mode", "online", corpus).stdout
    assert "80 mails, 4 passed over" in out and "calibration, online, later half" in out
    for mode in ("day one", "online"):
        assert f"\n{mode} " in out and f"{mode}: ham with the highest sums" in out
    assert sum("\tspam\t" in line for line in out.splitlines()) == 4
    assert "60/40" not in out


def test_weights_of_the_configuration(tmp_path, corpus):
    """Every mail says To: and has no weight for it; a weight of a piece that is found counts."""
    config = tmp_path / "postern.conf"
    config.write_text(CONFIG.format(spool=tmp_path / "spool", more=""), encoding="ascii")
    _, plain, _, _ = trial(tmp_path, corpus, "--mode", "day-one", config=config)
    pieces = {piece.split("=")[0] for row in plain["day one"]
              for piece in row["why"].split("; ") if piece and not piece.startswith("model.")}
    assert pieces, "no evidence in any mail: nothing to weigh"
    name = sorted(pieces)[0]
    config.write_text(CONFIG.format(spool=tmp_path / "spool",
                                    more=f'filter spam {{ weight "{name}" 0 }}'), encoding="ascii")
    _, without, _, _ = trial(tmp_path, corpus, "--mode", "day-one", config=config)
    changed = 0
    for before, after in zip(plain["day one"], without["day one"]):
        assert before["path"] == after["path"] and f"{name}=" not in after["why"]
        assert (f"{name}=" in before["why"]) or before["sum"] == after["sum"]
        changed += before["sum"] != after["sum"]
    assert changed


def test_this_site(tmp_path, corpus):
    """Asked for by name it has to be there; else it is left out. A torn one is told."""
    spool = tmp_path / "spool"
    config = tmp_path / "postern.conf"
    config.write_text(CONFIG.format(spool=spool, more=""), encoding="ascii")
    assert "has not been taught" in run("--mode", "this-site", corpus, config=config,
                                        status=1).stderr
    assert "this site" not in run(corpus, config=config).stdout
    (spool / "spam").mkdir(parents=True)
    (spool / "spam/site.model").write_bytes(b"nothing of the kind")
    assert "site.model" in run(corpus, config=config, status=1).stderr


@pytest.mark.parametrize("words, status, says", [
    ([], 2, "usage"), (["--mode", "offline", "CORPUS"], 2, "usage"),
    (["--worst", "x", "CORPUS"], 2, "usage"), (["CORPUS", "CORPUS"], 2, "usage"),
    (["CORPUS/nowhere"], 1, "No such file"), (["CORPUS/nothing"], 1, "neither ham nor spam"),
    (["CORPUS/spam.mbox"], 1, "cannot read the folder"),
    (["--model", "CORPUS/ham/0.eml", "CORPUS"], 1, "0.eml"),
    (["--rows", "CORPUS/no/rows", "CORPUS"], 1, "cannot write"),
    (["--dates", "CORPUS/no", "CORPUS"], 1, "cannot read")])
def test_refused(corpus, words, status, says):
    assert says in run(*(w.replace("CORPUS", str(corpus)) for w in words), status=status).stderr


def test_nothing_in_it(tmp_path):
    (tmp_path / "ham").mkdir()
    (tmp_path / "ham/x").write_bytes(b"")
    assert "no mail that can be read" in run(tmp_path, status=1).stderr

"""`postern spam test` on the mails of tests/mails, on day one: nothing taught, no DNS, no client.

No ham of any kind above 0.9, by name where there is one; no bounce judged by the shipped model; a
stated least share of each kind of spam above 0.5. And mails that are made to cost: what is looked
at of them is bounded, so that a long one is judged by the same evidence as its first bytes alone.
"""
import collections
import email
import email.policy
import json
import pathlib
import re

import pytest

from lab import postern, proc

MAILS = proc.REPOSITORY / "tests/mails"
KINDS = {"newsletter": (12, 7), "receipt": (12, 7), "alert": (12, 7), "question": (14, 8),
         "nonlatin": (18, 10), "imageonly": (11, 7), "bounce": (14, 6)}
# Least share of the spam of a kind above 0.5 before anything was taught, in percent.
CAUGHT = {"newsletter": 85, "receipt": 70, "alert": 70, "question": 60, "nonlatin": 50,
          "imageonly": 50, "bounce": 50}
CAUGHT_OF_ALL = 75
# And most of the ham there, all kinds together.
DOUBTED_OF_ALL = 10
SHIPPED = "model.shipped"
# What is no DSN and no report in bounce/ham: people's and desks' automatic answers.
ANSWERS = {"out-of-office-en", "vacation-sieve-de", "ticket-opened"}
OURS = re.compile(r"(^|\.)(example|test|invalid|localhost)$|(^|\.)example\.(com|net|org)$")
# The one name beside them: HTML names its name spaces by addresses.
SPACES = {"www.w3.org"}


def run(tmp_path, corpus, *words):
    """The rows of day one: path below corpus -> (probability, sum, why)."""
    rows = tmp_path / "rows"
    done = proc.run(postern.binary("postern"), "spam", "test", "--mode", "day-one", "--rows", rows,
                    *words, corpus, timeout=300)
    judged = {}
    for line in rows.read_text(errors="replace").splitlines()[1:]:
        mode, path, _, probability, total, why = line.split("\t")
        if mode == "day one":
            name = str(pathlib.Path(path).relative_to(corpus))
            assert name not in judged
            judged[name] = (float(probability), float(total), why)
    return judged, done.stdout


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    rows, _ = run(tmp_path_factory.mktemp("spam"), MAILS)
    assert len(rows) == sum(ham + spam for ham, spam in KINDS.values())
    return rows


def of(judged, kind, label):
    rows = {name: row for name, row in judged.items() if name.startswith(f"{kind}/{label}/")}
    assert len(rows) == KINDS[kind][label == "spam"]
    return rows


def told(rows):
    """One line a mail, for whoever reads why the test failed."""
    return "".join(f"\n{name}: {row[0]:.3f} {row[2]}" for name, row in sorted(rows.items()))


# --- the mails

def hosts(text):
    """What looks like a name of the DNS in links and addresses."""
    return set(re.findall(r"(?:https?://|@)([a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]+)(?![\w.-])", text))


def test_mails_are_ours():
    """As many as the README says, small, each readable, all names those of documentation."""
    ends = collections.Counter()
    for kind, counts in KINDS.items():
        for label, count in zip(("ham", "spam"), counts):
            paths = sorted((MAILS / kind / label).iterdir())
            assert len(paths) == count and {p.suffix for p in paths} == {".eml"}
            for path in paths:
                raw = path.read_bytes()
                assert 300 < len(raw) < 10_000, path
                lines, crlf = raw.count(b"\n"), raw.count(b"\r\n")
                assert crlf in (0, lines), path
                ends[crlf == 0] += 1
                check_names(path, raw)
    assert ends[True] >= 20 and ends[False] >= 20


def check_names(path, raw):
    """In all fields and texts, decoded: in encoded ones bytes may happen to look like names."""
    message, texts = email.message_from_bytes(raw, policy=email.policy.default), []
    for part in message.walk():
        assert not part.defects, (path, part.defects)
        texts += [str(value) for value in part.values()]
        if part.get_content_maintype() == "text":
            texts.append(part.get_content())
        assert "\ufffd" not in "".join(texts), path
    strange = {name for text in texts for name in hosts(text.lower())
               if not OURS.search(name) and name not in SPACES}
    assert not strange, (path, strange)


# --- day one

@pytest.mark.parametrize("kind", KINDS)
def test_no_ham_above_09(judged, kind):
    lost = {name: row for name, row in of(judged, kind, "ham").items() if row[0] > 0.9}
    assert not lost, told(lost)


@pytest.mark.parametrize("kind", KINDS)
def test_spam_caught(judged, kind):
    spam = of(judged, kind, "spam")
    missed = {name: row for name, row in spam.items() if row[0] <= 0.5}
    assert 100 * (len(spam) - len(missed)) >= CAUGHT[kind] * len(spam), told(missed)


def test_spam_caught_of_all(judged):
    spam = [row for name, row in judged.items() if "/spam/" in name]
    assert 100 * sum(row[0] > 0.5 for row in spam) >= CAUGHT_OF_ALL * len(spam)


def test_ham_doubted_of_all(judged):
    ham = {name: row for name, row in judged.items() if "/ham/" in name}
    doubted = {name: row for name, row in ham.items() if row[0] > 0.5}
    assert 100 * len(doubted) <= DOUBTED_OF_ALL * len(ham), told(doubted)


def test_bounces_without_the_shipped_model(judged, tmp_path):
    """Their words are the words of what they bounce."""
    bounces = {name: row for name, row in of(judged, "bounce", "ham").items()
               if pathlib.Path(name).stem not in ANSWERS}
    assert len(bounces) == 11
    by_model = {name: row for name, row in bounces.items() if SHIPPED in row[2]}
    assert not by_model, told(by_model)
    done = proc.run(postern.binary("postern"), "spam", "test", "--mode", "day-one", "--json",
                    MAILS / "bounce")
    tally = json.loads(done.stdout)
    assert tally["bounces_ham"] == 11 and tally["bounces_by_shipped"] == 0
    # It has a say elsewhere: this test can fail.
    assert sum(SHIPPED in row[2] for row in judged.values()) > len(judged) / 2


# --- what is made to cost

HEAD = (b"Received: from a.example ([192.0.2.7]) by b.example; Mon, 2 Nov 2026 10:00:00 +0000\n"
        b"From: Ann <ann@example.net>\nTo: bo@example.org\nSubject: BUY THIS NOW\n"
        b"Date: Mon, 2 Nov 2026 10:00:00 +0000\nMessage-ID: <1@example.net>\nMIME-Version: 1.0\n")
MB = 1024 * 1024


def repeated(piece, size):
    return piece * (size // len(piece) + 1)


def nested(depth):
    out = []
    for i in range(depth):
        out.append(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i))
    return b"".join(out) + b"Content-Type: text/plain\n\nHello\n"


def wide(parts):
    return b"Content-Type: multipart/mixed; boundary=b\n\n" + \
        b"--b\nContent-Type: text/html\n\n<b>Hello</b>\n" * parts + b"--b--\n"


# name -> (a mail with so many of something; as many as fill what is looked at; far more)
HOSTILE = {
    "text of 50 MB": (lambda n: HEAD + b"\n" + repeated(b"Buy this now, dear friend.\n", n),
                      MB, 50 * MB),
    "HTML of 50 MB": (lambda n: HEAD + b"Content-Type: text/html\n\n" +
                      repeated(b"<p style='color:red'>Buy <b>now</b></p>\n", n), MB, 50 * MB),
    "an open tag of 50 MB": (lambda n: HEAD + b"Content-Type: text/html\n\n<a href=\"" + b"x" * n,
                             MB, 50 * MB),
    "one line of 50 MB": (lambda n: HEAD + b"\n" + b"x" * n, MB, 50 * MB),
    "base64 of 50 MB": (lambda n: HEAD + b"Content-Transfer-Encoding: base64\n\n" +
                        repeated(b"QnV5IHRoaXMgbm93LCBkZWFyIGZyaWVuZC4K" * 2 + b"\n", n),
                        MB, 50 * MB),
    "ten million links": (lambda n: HEAD + b"\n" + b"http://a.example/ " * n, 10**5, 10**7),
    "ten million links of HTML": (lambda n: HEAD + b"Content-Type: text/html\n\n" +
                                  b"<a href=//b.example>" * n, 10**5, 10**7),
    "multiparts 100,000 deep": (lambda n: HEAD + nested(n), 10**4, 10**5),
    "a million parts": (lambda n: HEAD + wide(n), 10**4, 10**6),
    "no end of header": (lambda n: HEAD + b"X-A: b\n" * n, 10**5, 10**7),
    "a field of 50 MB": (lambda n: HEAD + b"X-A: " + b"b" * n, MB, 50 * MB),
    "a field of ten million lines": (lambda n: HEAD + b"X-A: b\n" + b" b\n" * n, 10**5, 10**7),
    "NUL, 50 MB": (lambda n: HEAD + b"\n" + b"\0" * n, MB, 50 * MB),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(tmp_path, name):
    """The same judgement for the same reasons: nothing behind what is looked at was read."""
    corpus = tmp_path / "corpus"
    make, *sizes = HOSTILE[name]
    for label, size in zip(("ham", "spam"), sizes):
        (corpus / label).mkdir(parents=True)
        (corpus / label / "mail.eml").write_bytes(make(size))
    rows, _ = run(tmp_path, corpus)
    assert rows["ham/mail.eml"] == rows["spam/mail.eml"]
    # and it was judged, not passed over: what its header says was found
    assert "subject.capitals" in rows["spam/mail.eml"][2]


def test_cut_anywhere(tmp_path):
    """Every mail of ours, cut at some fifty places, is judged and crashes nothing."""
    corpus, count = tmp_path / "corpus", 0
    for path in sorted(MAILS.glob("*/*/*.eml")):
        raw, label = path.read_bytes(), path.parent.name
        (corpus / label).mkdir(parents=True, exist_ok=True)
        for cut in range(1, len(raw), max(len(raw) // 50, 1)):
            (corpus / label / f"{path.parts[-3]}-{path.stem}-{cut}").write_bytes(raw[:cut])
            count += 1
    rows, out = run(tmp_path, corpus)
    passed_over = int(re.search(r"(\d+) passed over", out).group(1))
    assert count > 6000 and len(rows) + passed_over == count
    assert passed_over < count / 10
    assert all(0 <= row[0] <= 1 for row in rows.values())

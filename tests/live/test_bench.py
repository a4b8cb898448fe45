"""The benchmarks in small, without peers and clocks: that they still run, and still prove that the
work was done. Their figures are only taken by tests/run --long. `waits` and `fanout` take minutes by their nature
and are run there alone.
"""
import sys

import pytest

from lab import proc

sys.path.insert(0, str(proc.REPOSITORY / "tests/bench"))

SMALL = ["--alone", "--rounds", "1", "--mails", "20", "--sessions", "4", "--per", "5",
         "--virus-every", "10", "--connections", "20"]


@pytest.fixture
def laboratory(nsd, posternd, monkeypatch):
    """(bench, DNS with the senders' records, key); what is printed here is no figure."""
    import bench
    import systems
    monkeypatch.delenv("POSTERN_FIGURES", raising=False)
    key, record = systems.make_key()
    zones, pointers = systems.zones(record)
    nsd.pointers.update(pointers)
    nsd.set({name: zones[name] for name in ("senders.example",)})
    nsd.restart()
    return bench, nsd, key


@pytest.mark.parametrize("what, says", [
    ("passthrough", "Postern: CPU s/1000"), ("inbound", "where it goes, Postern"),
    ("inbound --spam", "the spam filter takes"),
    ("milter", "the milters' part of Postfix+Postern"), ("idle", "idle, tls: 20 connections")])
def test_in_small(laboratory, capsys, what, says):
    bench, nsd, key = laboratory
    bench.run(bench.options([*what.split(), *SMALL]), nsd, key)
    assert says in capsys.readouterr().out


def test_relay_in_small(laboratory, capsys):
    """Every mail that was answered 250 reaches the smarthost, from a spool on a disk."""
    import relay
    _, nsd, _ = laboratory
    relay.run(relay.options(["--alone", "--ways", "queued", "--rounds", "1", "--mails", "20",
                             "--sessions", "4", "--per", "5"]), nsd, number=57)
    assert "round 1 Postern queued" in capsys.readouterr().out


@pytest.mark.parametrize("rule, why", [
    ("discard", "missing at the sink"), ('tag "X-A: b"\n accept', "changed"),
    ("reject", "were answered"), ("accept", "without spf=pass")])
def test_no_figures_without_the_work(laboratory, rule, why):
    """Mail that is lost, changed, refused or not judged ends the benchmark."""
    import measure
    import systems
    _, nsd, _ = laboratory
    system = systems.Postern(f"inbound {{ {rule} }}\n", nsd.trust_file, number=43,
                             marks="s" if "spf" in why else "")
    system.patience_s = 1
    try:
        with pytest.raises(measure.Wrong, match=why):
            measure.Round(system, ["-n", "4", "-c", "2", "-k", "2"], 0)
    finally:
        system.stop()


WORDS = {"ham": "the patch applies to the tree, thanks for the review of the antenna",
         "spam": "claim your prize now dear winner, click here to verify the account"}


def spam_pack(folder):
    """A pack as spam.py reads it, of 2 sources, 30 mails of each kind; and its dates."""
    import random
    import subprocess
    lines = ["label\tid\tsha256\tdate\tsize"]
    for number in range(60):
        label, source = ("ham", "spam")[number % 2], ("spamassassin", "list_hams")[number % 4 // 2]
        text = WORDS[label].split()
        random.Random(number).shuffle(text)
        name = f"{source}/{label}/{number:03}.eml"
        path = folder / "pack" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"From: a{number}@b.example\nTo: c@d.example\nSubject: {text[0]}\n\n"
                        f"{' '.join(text)}\n", encoding="ascii")
        lines.append(f"{label}\t{name}\tx\t2024-01-01T10:{number:02}:00\t1")
    (folder / "tiny.tsv").write_text("\n".join(lines) + "\n", encoding="ascii")
    subprocess.run(["tar", "-C", folder, "-cf", folder / "tiny.tar", "pack"], check=True)
    return folder / "tiny.tar"


def test_spam_in_small(tmp_path, capsys, monkeypatch):
    """Ours beside bogofilter, each told the truth of a stream; curves that a reader can open."""
    import spam
    monkeypatch.delenv("POSTERN_FIGURES", raising=False)
    spam.run(spam.options(["--pack", str(spam_pack(tmp_path)), "--sample", "0", "--roc",
                           str(tmp_path / "roc.png"),
                           "--throwaway", str(proc.REPOSITORY / "filters/spam.model")]))
    out = capsys.readouterr().out
    for says in ("== all, no shipped model: 60 mails", "bogofilter, online", "all, 60/40",
                 "calibration, Postern",
                 "bogofilter's", "all, day one"):
        assert says in out, out
    for name in ("all", "spamassassin"):
        assert (tmp_path / f"roc-{name}.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_spam_measures():
    """By hand: 1 of 4 x 2 pairs in the wrong order, 1 equal."""
    import spam_measure
    one = spam_measure.Judged("x", {"a": (1, False), "b": (2, False), "c": (5, False),
                                    "d": (0, False), "e": (5, True), "f": (4, True)}, {"3": 3})
    assert one.above() == (1 + 0.5) / 8
    assert (one.caught(0), one.caught(0.25)) == (0, 1)
    assert (one.lost(0), one.lost(0.5)) == (0.25, 0.25)
    assert one.wrong(3) == (0.25, 0) and one.curve()[-1] == (1, 0)


def test_spam_without_mails(tmp_path, capsys, monkeypatch):
    import spam
    monkeypatch.setattr(sys, "argv", ["spam", "--pack", str(tmp_path / "none.tar")])
    assert spam.main() == 0 and "SKIPPED" in capsys.readouterr().out

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
    ("milter", "the milters' part of Postfix+Postern"), ("idle", "idle, tls: 20 connections")])
def test_in_small(laboratory, capsys, what, says):
    bench, nsd, key = laboratory
    bench.run(bench.options([what, *SMALL]), nsd, key)
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

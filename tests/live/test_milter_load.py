"""The milter under many sessions and mails, in small: every answer is right and memory is flat.
Times are printed, not judged; tests/bench/milter_burst judges them.
"""
import sys

import pytest

from lab import postern, proc

sys.path.insert(0, str(proc.REPOSITORY / "tests/bench"))

# Without the scanner: its environment is empty, so its allocator keeps what was freed.
RULES = """\
inbound {
    reject if spf is fail
    reject if dkim is fail and dmarc is not pass
    reject if dmarc is fail and dmarc.policy is reject
    accept
}
"""


@pytest.fixture
def laboratory(nsd, posternd, monkeypatch):
    """(burst, DNS with the senders' records, key); what is printed here is no figure."""
    import burst
    import systems
    monkeypatch.delenv("POSTERN_FIGURES", raising=False)
    key, record = systems.make_key()
    zones, pointers = systems.zones(record)
    nsd.pointers.update(pointers)
    nsd.set({"senders.example": zones["senders.example"]})
    nsd.restart()
    return burst, nsd, key


def options(burst, *words):
    return burst.options(["--rounds", "1", *words])


def test_slow_dns(laboratory):
    """All sessions at once, their answers a while away: both fronts, and a filter that waits."""
    burst, nsd, _ = laboratory
    found = burst.burst(options(burst, "--sessions", "40", "--through"), nsd)
    assert len(found) == 3
    assert all(len(seconds) == 1 and seconds[0] >= 0.1 for seconds in found.values())


def test_many_sessions(laboratory):
    burst, nsd, key = laboratory
    each = burst.flow(options(burst, "--flow", "100"), nsd, key)
    assert each < 64, "KiB of an idle session"


def test_memory_is_flat(laboratory):
    burst, nsd, key = laboratory
    asan = postern.sanitizer_environment()["ASAN_OPTIONS"]
    small = {"ASAN_OPTIONS": f"{asan}:quarantine_size_mb=1:thread_local_quarantine_size_kb=64"}
    found = burst.steady(options(burst, "--mails", "4000"), nsd, key, RULES, 0, small)
    assert len(found) == 3


def test_wrong_answers_are_told(laboratory):
    """A filter that lets viruses in, and one whose results are missing."""
    burst, nsd, key = laboratory
    import measure
    with burst.Gate("wrong", "inbound { accept }\n", nsd.trust_file) as gate:
        assert burst.load(gate.socket, ["-n", 20])["accepted"] == 20
        with pytest.raises(measure.Wrong, match="wrong 5"):
            burst.load(gate.socket, ["-n", 20, "-v", 4])
        with pytest.raises(measure.Wrong, match="wrong 20"):
            burst.load(gate.socket, ["-n", 20, "-x", "spf=pass"])

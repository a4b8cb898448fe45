"""A spill directory that is full: 452 for the mail that needs it, service for all others (SRV-06)."""
import pytest

from lab import proc, smtp

GATE, SERVER, CLIENT = "192.0.2.37", "198.51.100.37", "192.0.2.73"


@pytest.fixture
def small():
    """A file system of one megabyte."""
    place = proc.LAB / "small"  # pytest's own folders are closed to the gateway's account
    place.mkdir(exist_ok=True)
    proc.run("mount", "-t", "tmpfs", "-o", "size=1m,mode=1777", "tmpfs", place)
    yield place
    proc.run("umount", "-l", place)


def big(subject, megabytes):
    line = b"x" * 76 + b"\r\n"
    return smtp.message(subject) + line * (megabytes * 1024 * 1024 // len(line))


def test_full_disk_answers_452(gateway, small):
    gate = gateway(f"""\
        hostname "mx.example.com"
        resolver "192.0.2.53:53" insecure
        listen inbound on "{GATE}:25"
        domain "example.com" deliver to "{SERVER}:25"
        inbound {{ accept }}
        """, environment={"TMPDIR": str(small)})
    with smtp.Server(SERVER) as sink, smtp.Client(GATE, source=CLIENT) as client:
        said = client.mail("a@sender.example", ["b@example.com"], big("too much", 4))
        assert said.dot.code == 452, said
        assert sink.mails == []
        # The same session goes on: what fits in memory needs no disk.
        said = client.mail("a@sender.example", ["b@example.com"], smtp.message("small"), helo=None)
        assert said.dot.code == 250, said
        # What the refused mail had taken of the disk is free again.
        said = client.mail("a@sender.example", ["b@example.com"], big("fits", 0) + b"y\r\n" * 120000,
                           helo=None)
        assert said.dot.code == 250, said
        assert len(sink.mails) == 2
    assert gate.wait_event("system-error")

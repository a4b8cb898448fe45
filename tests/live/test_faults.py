"""Processes that die, and orders to end, at each step of a mail: never a 250 without a copy.

DESIGN: when a session process dies, its client sees the connection break and nothing was said;
the parent starts another. When the parent dies, all end. SIGTERM: 421, and what is in flight is
finished (SRV-11, SRV-12). A second copy is allowed only where the final dot was in flight
(RFC 1047).
"""
import itertools
import signal
import threading
import time

import pytest

from lab import postern, proc, smtp

GATE, SERVER = "192.0.2.31", "198.51.100.31"
STEPS = ("greeted", "helo", "mail", "rcpt", "data", "dot")
# A client whose session died too often is kept away for a while, so each has its own address.
sources = (f"192.0.2.{n}" for n in itertools.count(100))


HALF = smtp.message("half a mail", body="the fir")


class Slow:
    """A protected server that answers the dot late, and says when a dot has come."""

    def __init__(self):
        self.dot_came = threading.Event()
        self.delay = 0.0
        self.server = smtp.Server(SERVER, script={"dot": self.dot})

    def dot(self, _transaction, _session):
        self.dot_came.set()
        return smtp.After(self.delay, "250 2.0.0 taken") if self.delay else None


@pytest.fixture(scope="module")
def slow():
    one = Slow()
    with one.server:
        yield one


@pytest.fixture
def config(first_gate):
    return first_gate.replace("192.0.2.25", GATE).replace("198.51.100.5", SERVER)


def go_to(step, client):
    """Takes a session up to a step; at "dot" the reply is still owed."""
    script = {"helo": "EHLO client.example", "mail": "MAIL FROM:<a@sender.example>",
              "rcpt": "RCPT TO:<b@example.com>", "data": "DATA"}
    for name in STEPS[1:STEPS.index(step) + 1]:
        if name == "dot":
            client.send(HALF + b"st and the last line\r\n.\r\n")
        else:
            assert client.command(script[name]).code in (250, 354)
    if step == "data":
        client.send(HALF)


def good_mail(slow, within=10.0):
    """The gateway serves again: one mail goes through, after a few tries at most."""
    def served():
        try:
            with smtp.Client(GATE, source=next(sources), timeout=10) as client:
                said = client.mail("a@sender.example", ["b@example.com"], smtp.message("after"))
                return said.last.code == 250
        except OSError:
            return False
    slow.delay = 0.0
    proc.wait_until(served, "a mail after the fault", within, 0.2)


@pytest.mark.parametrize("step", STEPS)
def test_session_killed(gateway, config, slow, step):
    gate = gateway(config)
    slow.delay = 1.5 if step == "dot" else 0.0
    slow.dot_came.clear()
    before = len(slow.server.mails)
    with smtp.Client(GATE, source=next(sources)) as client:
        go_to(step, client)
        if step == "dot":
            assert slow.dot_came.wait(10)
        for pid, name in gate.processes().items():
            if name.startswith("session"):
                gate.kill(pid)
        answer = client.reply()
        assert answer.code == 0, f"after the death of its session the client heard {answer}"
    assert gate.wait_event("child-exit")
    good_mail(slow)
    time.sleep(1.6 if step == "dot" else 0)
    copies = len(slow.server.mails) - before
    # The good mail, and the one whose dot was in flight.
    assert copies == (2 if step == "dot" else 1)


def test_parent_killed(posternd, nsd, config, slow):
    """All end, at once, and the port is free."""
    gate = postern.Postern(config, {"trust.key": nsd.trust_file}).start()
    children = [pid for pid in gate.processes() if pid != gate.process.pid]
    assert children
    with smtp.Client(GATE, source=next(sources)) as client:
        go_to("rcpt", client)
        gate.process.kill()
        gate.process.wait()
        assert client.reply().code == 0
    proc.wait_until(lambda: not any(map(postern.alive, children)), "the end of all processes", 5)
    with pytest.raises(ConnectionRefusedError):
        smtp.Client(GATE, source=next(sources))


def test_sigterm_ends_politely(gateway, config, slow):
    """An idle session hears 421; a mail whose dot is in flight gets its answer first."""
    gate = gateway(config)
    slow.delay = 1.0
    slow.dot_came.clear()
    before = len(slow.server.mails)
    with smtp.Client(GATE, source=next(sources)) as idle, \
            smtp.Client(GATE, source=next(sources)) as busy:
        go_to("helo", idle)
        go_to("dot", busy)
        assert slow.dot_came.wait(10)
        gate.process.send_signal(signal.SIGTERM)
        assert idle.reply().code == 421
        assert idle.reply().code == 0
        assert busy.reply().code == 250
    assert len(slow.server.mails) == before + 1
    gate.stop(told=True)


@pytest.mark.parametrize("step", STEPS[:-1])
def test_client_goes_away(gateway, config, slow, step):
    """A reset at any step leaves nothing behind, and no mail (SRV-11)."""
    gate = gateway(config)
    before = len(slow.server.mails)
    for _ in range(5):
        client = smtp.Client(GATE, source=next(sources))
        go_to(step, client)
        client.reset()
    good_mail(slow)
    assert len(slow.server.mails) == before + 1
    assert not gate.events("child-exit")


@pytest.mark.parametrize("stage, answer", [
    ("connect", "421 4.3.2 not now"), ("connect", "554 5.3.2 never"), ("connect", smtp.Drop()),
    ("ehlo", smtp.Drop()), ("mail", "451 4.3.0 not now"), ("mail", smtp.Drop()),
    ("rcpt", smtp.Drop(reset=True)), ("data", "451 4.3.0 not now"), ("data", smtp.Drop()),
    ("dot", smtp.Drop()), ("dot", b"nonsense\r\n"), ("connect", b"220" + b"x" * 70000),
])
def test_server_misbehaves(gateway, first_gate, stage, answer):
    """Whatever the protected server does, the client hears 4xx or the server's 5xx, never 250."""
    gate, server = "192.0.2.32", "198.51.100.32"
    with smtp.Server(server, script={stage: answer}) as broken:
        gateway(first_gate.replace("192.0.2.25", gate).replace("198.51.100.5", server))
        with smtp.Client(gate, source=next(sources)) as client:
            said = client.mail("a@sender.example", ["b@example.com"], smtp.message("broken"))
        permanent = isinstance(answer, str) and answer.startswith("5")
        assert said.last.code // 100 in ((4, 5) if permanent else (4,)), said
        assert broken.mails == []

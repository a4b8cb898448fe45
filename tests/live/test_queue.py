"""The way out with a spool: what can be answered is answered while the client waits, what is only
temporary is kept (OUT-03, OUT-04, OUT-09; DESIGN.md, "Outbound").

What a remote says stands in the recipient's local part: "r550" is refused at RCPT, "d451" at DATA,
"e552" at the dot; "wait" is not answered at the dot until the test lets it go.
"""
import re
import threading
import time

import pytest

from lab import proc, smtp

GATE, SUBMIT, OWN = "192.0.2.138", "192.0.2.139", "198.51.100.139"
FIRST, SECOND, DEAD = "198.51.100.140", "198.51.100.141", "198.51.100.199"
CLIENT = "192.0.2.73"
SENDER = "ann@ours.example"
ZONES = {
    "ours.example": f"@ MX 10 mx\nmx A {GATE}\n",
    "dest.example": f"""\
        one MX 10 first
        two MX 10 second
        gone MX 10 dead
        first A {FIRST}
        second A {SECOND}
        dead A {DEAD}
        """,
}
CONFIG = """\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{spool}"
listen inbound on "{gate}:25"
listen outbound on "{submit}:25" from {{ 192.0.2.64/26 }}
domain "ours.example" deliver to "{own}:25"
send direct answer within 3s per mail
queue {{ retry after 2s, up to 4s lifetime 60s delay notice 30s }}
inbound {{ accept }}
outbound {{ accept }}
"""


def verdict(recipients, stage):
    for recipient in recipients:
        found = re.match(r"([rde])([45])(\d\d)@", recipient)
        if found and {"r": "rcpt", "d": "data", "e": "dot"}[found[1]] == stage:
            return f"{found[2]}{found[3]} {found[2]}.7.9 the remote's own words"
    return None


class Remote(smtp.Server):
    """A remote that says what the local part asks for."""

    def __init__(self, address, **more):
        self.gate = threading.Event()
        script = {
            "rcpt": lambda recipient, _session: verdict([recipient], "rcpt"),
            "data": lambda _argument, session: verdict(session.transactions[-1].recipients, "data"),
            "dot": self.dot,
        }
        super().__init__(address, script=script, **more)

    def dot(self, transaction, _session):
        if any(r.startswith("wait@") for r in transaction.recipients):
            self.gate.wait(60)
        return verdict(transaction.recipients, "dot")


@pytest.fixture(scope="module")
def zones(nsd):
    nsd.set(ZONES)
    nsd.restart()


@pytest.fixture(scope="module")
def first(zones):
    with Remote(FIRST) as server:
        yield server


@pytest.fixture(scope="module")
def second(zones):
    with Remote(SECOND) as server:
        yield server


@pytest.fixture(scope="module")
def own(zones):
    with Remote(OWN) as server:
        yield server


@pytest.fixture(scope="module")
def gate(gateway_module, tmp_path_factory, first, second, own):
    spool = tmp_path_factory.mktemp("queue") / "spool"
    return gateway_module(CONFIG.format(spool=spool, gate=GATE, submit=SUBMIT, own=OWN))


def send(recipients, sender=SENDER):
    with smtp.Client(SUBMIT, source=CLIENT) as client:
        return client.mail(sender, recipients, smtp.message("out", sender, recipients[0]))


def test_delivered(gate, first):
    said = send(["a@one.dest.example", "b@one.dest.example"])
    assert said.dot.code == 250 and "Delivered" in str(said.dot), said
    assert len(first.mails[-1].recipients) == 2


def test_refused(gate, first):
    said = send(["r550@one.dest.example"])
    assert said.dot.code == 550 and "the remote's own words" in str(said.dot), said


def test_two_sites(gate, first, second):
    said = send(["a@one.dest.example", "b@two.dest.example"])
    assert said.dot.code == 250 and "Delivered" in str(said.dot), said
    assert first.mails[-1].recipients == ["a@one.dest.example"]
    assert second.mails[-1].recipients == ["b@two.dest.example"]


def test_refused_in_part(gate, first, second, own):
    """A DSN to our own user, over its own server."""
    before = len(own.mails)
    said = send(["a@one.dest.example", "r550@two.dest.example"])
    assert said.dot.code == 250, said
    proc.wait_until(lambda: len(own.mails) > before, "the notice", 10)
    notice = own.mails[-1]
    assert notice.sender == "" and notice.recipients == [SENDER]
    assert b"r550@two.dest.example" in notice.message


def test_put_off_and_tried_again(gate, first):
    said = send(["e451@one.dest.example"])
    assert said.dot.code == 250 and "ueued" in str(said.dot), said
    attempts = lambda: sum("e451@one.dest.example" in t.recipients for t in first.transactions())
    proc.wait_until(lambda: attempts() >= 2, "another attempt", 20)


def test_slow(gate, first):
    before = time.monotonic()
    said = send(["wait@one.dest.example"])
    assert said.dot.code == 250 and "ueued" in str(said.dot), said
    assert 2 < time.monotonic() - before < 10
    first.gate.set()
    proc.wait_until(lambda: any("wait@one.dest.example" in m.recipients for m in first.mails),
                  "the mail", 10)
    first.gate.clear()


def test_dead(gate):
    said = send(["a@gone.dest.example"])
    assert said.dot.code == 250 and "ueued" in str(said.dot), said

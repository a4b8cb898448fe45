"""What a client may take: of our time and of our memory (SRV-05, SRV-11).

A deadline runs from one reply to the next, so that neither a byte now and then nor the answer to
a question of ours pushes it on. A mail with all the recipients that it may have, judged by many
rules, is a mail like any other.
"""
import time

import pytest

from lab import smtp

GATE, OUT, SERVER = "192.0.2.41", "192.0.2.58", "198.51.100.41"
REMOTE = "198.51.100.58"
RECIPIENTS = 1000


@pytest.fixture(scope="module")
def gate(gateway_module, first_gate):
    text = first_gate.replace("192.0.2.25", GATE).replace("198.51.100.5", SERVER)
    rules = "".join(f'    reject if sender.domain is "s{n}.example" and header "X-{n}" is "x"\n'
                    for n in range(200))
    return gateway_module("limits { command time 10s }\n" +
                          text.replace("    accept\n", rules + "    accept\n"))


@pytest.fixture(scope="module")
def protected():
    with smtp.Server(SERVER) as server:
        yield server


def test_command_in_single_bytes(gate):
    """SRV-05: a command that comes byte by byte has no longer than one that does not come."""
    with smtp.Client(GATE) as client:
        client.command("EHLO client.example")
        began = time.monotonic()
        client.send(b"NOOP ")
        said = []
        while not said and time.monotonic() - began < 20:
            client.send(b"x")
            said = client.extra(1.0)
        assert said[0].code == 421
        assert 9 < time.monotonic() - began < 14


def test_all_recipients_and_many_rules(gate, protected):
    """The rules' evaluations for the recipients of one mail need the room of one."""
    with smtp.Client(GATE) as client:
        client.command("EHLO client.example")
        assert client.command("MAIL FROM:<a@sender.example>").code == 250
        for first in range(0, RECIPIENTS, 100):
            client.send(b"".join(b"RCPT TO:<u%d@example.com>\r\n" % n
                                 for n in range(first, first + 100)))
            assert {client.reply().code for _ in range(100)} == {250}
        assert client.command("DATA").code == 354
        client.send(smtp.message("to many") + b".\r\n")
        assert client.reply().code == 250
    assert len(protected.transactions()[-1].recipients) == RECIPIENTS


def test_recipients_to_the_outside(gateway):
    """What a message to a delivery process cannot hold is put off, and what it holds is sent."""
    gateway(f"""\
        hostname "mx.example.com"
        resolver "192.0.2.53:53" insecure
        listen outbound on "{OUT}:25" from {{ 192.0.2.0/24 }}
        send smarthost "{REMOTE}:25"
        outbound {{ accept }}
        """)
    long = "u" * 60 + "@" + ".".join(["d" * 60] * 3) + ".example"
    with smtp.Server(REMOTE) as server, smtp.Client(OUT, source="192.0.2.59") as client:
        said = client.mail("a@example.com", [long] * 300, smtp.message("out") + b"z" * 70 + b"\r\n")
        taken = [r for r in said.recipients if r.code == 250]
        assert {r.code for r in said.recipients} == {250, 452}
        assert len(taken) >= 100
        assert said.dot.code == 250, said.dot
        assert len(server.transactions()[-1].recipients) == len(taken)

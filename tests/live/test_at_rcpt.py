"""What the outside says while the client still waits, and what becomes of its mail when one of the
processes on the way, or the client, is gone.
"""
import threading
import time

import pytest

from lab import proc, smtp

SUBMIT, REMOTE = "192.0.2.46", "198.51.100.66"
CLIENT, SENDER = "192.0.2.73", "ann@ours.example"
CONFIG = f"""\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{{spool}}"
listen outbound on "{SUBMIT}:25" from {{{{ 192.0.2.64/26 }}}}
domain "ours.example" deliver to "198.51.100.67:25"
send direct answer within 20s per mail{{more}}
outbound {{{{ accept }}}}
"""


def says(stage):
    """The remote's words by the local part: "r550-x" refuses at RCPT, "slow-x" takes its time."""
    def reply(what, _session):
        name = (what if stage == "rcpt" else what.recipients[0]).partition("@")[0]
        if stage == "rcpt" and name.startswith("r"):
            return f"{name[1:4]} {name[1]}.1.1 the remote's own words"
        if stage == "dot" and name.startswith("slow"):
            return smtp.After(3, "250 2.0.0 taken at last")
        return None
    return reply


@pytest.fixture(scope="module")
def remote(nsd):
    nsd.set({"remote.example": f"@ MX 10 mx\nmx A {REMOTE}\n"})
    nsd.restart()
    with smtp.Server(REMOTE, script={s: says(s) for s in ("rcpt", "dot")}) as server:
        yield server


@pytest.fixture
def gate(gateway, remote, request):
    remote.mails.clear()
    more = getattr(request, "param", "")
    return gateway(CONFIG.format(spool=proc.LAB / f"spool-{request.node.name[:20]}", more=more))


def send(recipients):
    with smtp.Client(SUBMIT, source=CLIENT) as client:
        return client.mail(SENDER, recipients, smtp.message("hello", SENDER))


@pytest.mark.parametrize("gate", [" answer at rcpt"], indirect=True)
def test_answer_at_rcpt(gate, remote):
    said = send(["r550-a@remote.example", "r450-b@remote.example", "c@remote.example",
                 "d@nowhere.remote.example"])
    assert [r.code for r in said.recipients] == [550, 250, 250, 550], said
    assert "the remote's own words" in str(said.recipients[0]), said
    assert said.recipients[3].enhanced == "5.1.2", said
    assert said.dot.code == 250, said
    assert [r for m in remote.mails for r in m.recipients] == ["c@remote.example"]
    event = gate.wait_event("reject", recipient="r550-a@remote.example")
    assert event.rule == "refused-by-server", event


def test_refused_at_the_dot(gate, remote):
    said = send(["r550-a@remote.example"])
    assert [r.code for r in said.recipients] == [250], said
    assert said.dot.code == 550 and "the remote's own words" in str(said.dot), said


def keeper_of(gate):
    return [pid for pid, name in gate.processes().items() if "keeper" in name]


def test_the_keeper_is_killed(gate, remote):
    """451 for the mail that it had, 250 for the next one as soon as there is another keeper."""
    threading.Timer(1.0, lambda: [gate.kill(pid) for pid in keeper_of(gate)]).start()
    said = send(["slow-a@remote.example"])
    assert (said.dot.code, said.dot.enhanced) == (451, "4.3.0"), said
    deadline = time.monotonic() + 15
    while (said := send(["b@remote.example"])).dot.code == 451 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert said.dot.code == 250, said


def test_the_client_goes_away(gate, remote):
    """Behind the final dot nothing is cut; what the remote did then is in the log."""
    with smtp.Client(SUBMIT, source=CLIENT) as client:
        for line in ("EHLO client.example", f"MAIL FROM:<{SENDER}>", "RCPT TO:<slow-a@remote.example>",
                     "DATA"):
            client.command(line)
        client.send(smtp.stuffed(smtp.message("hello", SENDER)))
        time.sleep(1)
        client.reset()
    event = gate.wait_event("mail", sender=SENDER)
    assert event["end"] == "cancelled", event
    assert event["delivered"] == "1", event
    assert len(remote.mails) == 1

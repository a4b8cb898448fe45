"""Tables of files: every form of an item in rules, and a file that changes under a running gateway.

A change is taken up without a reload and without a client being cut off; a file that is wrong is
said with its line, once, and the last good one goes on.
"""
import time

import pytest

from lab import proc, smtp

GATE, SERVER, CLIENT = "192.0.2.48", "198.51.100.48", "192.0.2.78"
SENDER = "alice@sender.example"
CHANGE_S = 25  # the parent looks every ten seconds
CONFIG = f"""\
hostname "mx.example.com"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "{GATE}:25"
table staff file "staff.txt"
table blocked {{ "bad-*@*.example", /^[0-9]{{6,}}@/, "*.spam.example", "{{one,two}}@pair.example" }}
table nets file "nets.txt"
domain "example.com" deliver to "{SERVER}:25" recipients table staff
inbound {{
    reject with "550 5.7.1 blocked" if sender in blocked
    reject with "550 5.7.1 network" if client in nets
    reject if recipient is not known
    accept
}}
"""
STAFF = "bob@example.com\n# a comment\nsales-*@example.com\n/^team[0-9]+@/i  # an expression\n"


@pytest.fixture(scope="module")
def sink():
    with smtp.Server(SERVER) as server:
        yield server


@pytest.fixture
def gate(gateway, sink):
    nets = "".join(f"203.0.{a}.{b}\n" for a in range(200) for b in range(250)) + "192.0.2.79\n"
    return gateway(CONFIG, {"staff.txt": STAFF, "nets.txt": nets})


def rcpt(recipient, sender=SENDER, client=CLIENT):
    with smtp.Client(GATE, source=client) as one:
        one.command("EHLO client.example")
        assert one.command(f"MAIL FROM:<{sender}>").code == 250
        return one.command(f"RCPT TO:<{recipient}@example.com>")


def replace(gate, name, text):
    """As an editor or a script does it: a new file in the place of the old one."""
    gate.add_file(f"{name}.new", text).rename(gate.home / name)


def test_every_form(gate):
    for local, code in [("bob", 250), ("BOB", 250), ("bob+x", 250), ("sales-emea", 250),
                        ("sales", 550), ("Team12", 250), ("team", 550), ("alice", 550)]:
        assert rcpt(local).code == code, local
    for sender, code in [("bad-x@some.example", 550), ("bad-x@example.net", 250),
                         ("123456@sender.example", 550), ("12345@sender.example", 250),
                         ("a@deep.spam.example", 550), ("a@spam.example", 250),
                         ("one@pair.example", 550), ("three@pair.example", 250)]:
        answer = rcpt("bob", sender=sender)
        assert answer.code == code, (sender, answer)
    answer = rcpt("bob", client="192.0.2.79")
    assert (answer.code, "network" in str(answer)) == (550, True)


def test_a_changed_file_is_taken_up(gate):
    """The next mail sees it; a session that is open goes on."""
    with smtp.Client(GATE, source=CLIENT) as open_one:
        open_one.command("EHLO client.example")
        assert rcpt("carol").code == 550
        replace(gate, "staff.txt", STAFF + "carol@example.com\n")
        proc.wait_until(lambda: rcpt("carol").code == 250, "carol is known", CHANGE_S, 0.5)
        assert open_one.command("NOOP").code in (250, 421)
    assert gate.events("reload")
    replace(gate, "staff.txt", "carol@example.com\n")
    proc.wait_until(lambda: rcpt("bob").code == 550, "bob is gone", CHANGE_S, 0.5)
    assert rcpt("carol").code == 250


def test_a_wrong_file_keeps_the_last_good_one(gate):
    replace(gate, "staff.txt", "carol@example.com\n10.0.0.1/8\n/(/\n")
    errors = proc.wait_until(lambda: gate.events("config-error"), "it is said", CHANGE_S, 0.2)
    proc.wait_until(lambda: len(gate.events("config-error")) == 2, "both are", 5, 0.2)
    errors = gate.events("config-error")
    assert {(e["file"].rpartition("/")[2], e["line"]) for e in errors} == \
        {("staff.txt", "2"), ("staff.txt", "3")}
    assert "no network" in errors[0]["error"]
    assert rcpt("bob").code == 250
    assert rcpt("carol").code == 550
    time.sleep(12)  # another look: what was said is not said again
    assert len(gate.events("config-error")) == 2
    replace(gate, "staff.txt", "carol@example.com\n")
    proc.wait_until(lambda: rcpt("carol").code == 250, "the right file", CHANGE_S, 0.5)
    assert rcpt("bob").code == 550


def test_a_file_that_is_gone_keeps_the_last_one(gate):
    (gate.home / "staff.txt").unlink()
    time.sleep(12)
    assert rcpt("bob").code == 250
    assert not gate.events("reload")

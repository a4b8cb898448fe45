"""Recipients of one mail that part their ways: several servers, several decisions, one reply.

Through posternd and its keeper to servers that say what the local part asks for; what each
recipient's server got, and what the client heard, is compared.
"""
import re

import pytest

from lab import proc, smtp

GATE, SUBMIT = "192.0.2.44", "192.0.2.45"
ONE, OTHER, LMTP, DEAD, ROUTED, OUTSIDE = (f"198.51.100.{n}" for n in (60, 61, 62, 63, 64, 65))
CLIENT = "192.0.2.73"
SENDER = "ann@sender.example"
CONFIG = f"""\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{{spool}}"
listen inbound on "{GATE}:25"
listen outbound on "{SUBMIT}:25" from {{{{ 192.0.2.64/26 }}}}
domain "one.example" deliver to "{ONE}:25"
domain "other.example" deliver to "{OTHER}:25"
domain "lmtp.example" deliver to "lmtp:{LMTP}:24"
domain "dead.example" deliver to "{DEAD}:25" hold when unreachable
send direct answer within 4s per mail
limits {{{{ recipients 10000 }}}}
inbound {{{{
	quarantine "watch" if recipient is "watched@one.example"
	reject with "550 5.7.1 No" if recipient is "strict@one.example" and header "Subject" is "forbidden"
	defer if recipient is "later@one.example" and header "Subject" is "forbidden"
	tag "X-For: other" if recipient.domain is "other.example"
	route to "{ROUTED}:25" if recipient is "routed@one.example"
	accept
}}}}
outbound {{{{ accept }}}}
"""


@pytest.fixture(scope="module")
def servers():
    running = {name: smtp.Server(address, port=24 if name == "lmtp" else 25, lmtp=name == "lmtp")
               for name, address in (("one", ONE), ("other", OTHER), ("lmtp", LMTP),
                                     ("routed", ROUTED), ("outside", OUTSIDE))}
    with smtp.serving(running):
        yield running


@pytest.fixture(scope="module")
def gate(gateway_module, nsd, servers):
    nsd.set({"outside.example": f"@ MX 10 mx\nmx A {OUTSIDE}\nsecond MX 10 mx\n"})
    nsd.restart()
    return gateway_module(CONFIG.format(spool=proc.LAB / "split-spool"))


@pytest.fixture(autouse=True)
def empty(servers):
    for server in servers.values():
        server.mails.clear()


def send(recipients, subject="hello", host=GATE, sender=SENDER):
    with smtp.Client(host, source=CLIENT) as client:
        return client.mail(sender, recipients, smtp.message(subject, sender))


def arrived(servers):
    """{server: sorted recipients}, of those that got anything."""
    return {name: sorted(r for mail in server.mails for r in mail.recipients)
            for name, server in servers.items() if server.mails}


def test_one_server_gives_its_own_words(gate, servers):
    said = send(["a@one.example", "b@one.example"])
    assert said.dot.code == 250, said
    assert arrived(servers) == {"one": ["a@one.example", "b@one.example"]}
    assert "custody" not in gate.wait_event("mail", sender=SENDER)


def test_two_servers(gate, servers):
    said = send(["a@one.example", "b@other.example", "c@lmtp.example", "d@lmtp.example"])
    assert [r.code for r in said.recipients] == [250] * 4, said
    assert said.dot.code == 250, said
    proc.wait_until(lambda: len(arrived(servers)) == 3, "three servers", 10)
    assert arrived(servers) == {"one": ["a@one.example"], "other": ["b@other.example"],
                                "lmtp": ["c@lmtp.example", "d@lmtp.example"]}
    assert b"X-For: other" in servers["other"].mails[0].message
    assert b"X-For" not in servers["one"].mails[0].message


def test_decided_differently(gate, servers):
    said = send(["strict@one.example", "b@one.example", "watched@one.example"], "forbidden")
    assert said.dot.code == 250, said
    proc.wait_until(lambda: arrived(servers), "the mail", 10)
    assert arrived(servers) == {"one": ["b@one.example"]}
    event = gate.wait_event("mail", recipients="3")
    assert (event["decision"], event["delivered"], event["refused"]) == ("accept", "1", "1"), event
    assert int(event["kept"]) == 1 and re.fullmatch("[0-9a-f]{32}", event["custody"]), event


def test_one_defers_all(servers, gate):
    said = send(["later@one.example", "b@other.example"], "forbidden")
    assert said.dot.code == 451, said
    assert not arrived(servers)


def test_all_refused(servers, gate):
    said = send(["strict@one.example"], "forbidden")
    assert (said.dot.code, said.dot.enhanced) == (550, "5.7.1"), said
    assert not arrived(servers)


def test_routed(servers, gate):
    said = send(["routed@one.example", "b@one.example"])
    assert said.dot.code == 250, said
    proc.wait_until(lambda: len(arrived(servers)) == 2, "two servers", 10)
    assert arrived(servers) == {"one": ["b@one.example"], "routed": ["routed@one.example"]}


def test_unreachable_is_held(gate, servers):
    said = send(["a@dead.example"])
    assert said.dot.code == 250, said
    event = gate.wait_event("mail", recipient="a@dead.example")
    assert (event["end"], event["waiting"]) == ("queued", "1"), event
    assert not arrived(servers)


def test_outside_answers_at_once(gate, servers):
    said = send(["a@outside.example", "b@second.outside.example", "c@one.example"], host=SUBMIT,
                sender="ann@one.example")
    assert said.dot.code == 250, said
    proc.wait_until(lambda: len(arrived(servers).get("outside", [])) == 2, "the remote", 10)
    assert arrived(servers)["one"] == ["c@one.example"]
    event = gate.wait_event("mail", direction="outbound")
    assert event["delivered"] == "3", event


def test_ten_thousand_recipients(gate, servers):
    recipients = [f"u{i}@{('one', 'other')[i % 2]}.example" for i in range(10000)]
    said = send(recipients)
    assert {r.code for r in said.recipients} == {250}, said
    assert said.dot.code == 250, said
    proc.wait_until(lambda: sum(len(r) for r in arrived(servers).values()) == 10000,
                    "10,000 recipients", 120)
    assert sorted(r for got in arrived(servers).values() for r in got) == sorted(recipients)

"""BATV through posternd: what leaves is tagged, its bounce comes home, and a flood of others' bounces stays outside.

The tags are made a second time here, by Python's hmac, from the same key.
"""
import hashlib
import hmac
import re
import time

import pytest

from lab import proc, smtp

GATE, SUBMIT = "192.0.2.49", "192.0.2.50"
SERVER, REMOTE = "198.51.100.72", "198.51.100.73"
STRANGER, PC = "192.0.2.74", "192.0.2.72"
SECRET, KEYS = "a secret of the test", "0 a secret of the test\n9 one that was used before\n"
FLOOD, ASKED = 200, []
CONFIG = f"""\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{{spool}}"
listen inbound on "{GATE}:25"
listen outbound on "{SUBMIT}:25" from {{{{ 192.0.2.64/26 }}}}
domain "ours.example" deliver to "{SERVER}:25" recipients verify bounces tagged key "bounce.keys"
send direct answer within 4s per mail
network 192.0.2.64/26 sends as {{{{ "ours.example" }}}}
inbound {{{{
	reject with "550 5.7.13 This address has not sent what you return" if bounce.forged
	reject if recipient is not known
	accept
}}}}
outbound {{{{
	accept
}}}}
"""


def tag(address, days=7):
    head = "0%03d" % ((int(time.time()) // 86400 + days) % 1000)
    mac = hmac.new(SECRET.encode(), (head + address).lower().encode(), hashlib.sha1)
    return f"prvs={head}{mac.hexdigest()[:6]}={address}"


def known(recipient, _session):
    ASKED.append(recipient)
    return "250 2.1.5 ok" if recipient.lower().startswith("ann") else "550 5.1.1 no such user"


def by_name(recipient, _session):
    return "550 5.1.1 nobody here" if recipient.startswith("gone") else "250 2.1.5 ok"


@pytest.fixture(scope="module")
def servers():
    running = {"ours": smtp.Server(SERVER, script={"rcpt": known}),
               "remote": smtp.Server(REMOTE, script={"rcpt": by_name})}
    with smtp.serving(running):
        yield running


@pytest.fixture(scope="module")
def gate(gateway_module, nsd, servers):
    nsd.set({"outside.example": f"@ MX 10 mx\nmx A {REMOTE}\n", "stranger.example": f"@ A {STRANGER}\n"})
    nsd.restart()
    return gateway_module(CONFIG.format(spool=proc.LAB / "tagged-spool"), {"bounce.keys": KEYS})


@pytest.fixture(autouse=True)
def empty(servers):
    for server in servers.values():
        server.mails.clear()


def send(host, source, sender, recipients, subject="hello"):
    with smtp.Client(host, source=source) as client:
        return client.mail(sender, recipients, smtp.message(subject, "ann@ours.example"))


def wait_mail(server, seconds=15):
    end = time.monotonic() + seconds
    while not server.mails and time.monotonic() < end:
        time.sleep(0.05)
    assert len(server.mails) == 1
    return server.mails[0]


def test_out_and_home_again(gate, servers):
    """The remote hears a tagged sender; the bounce to exactly that is delivered to the plain one."""
    assert send(SUBMIT, PC, "ann@ours.example", ["eve@outside.example"]).last.code == 250
    sent = wait_mail(servers["remote"]).sender
    assert sent == tag("ann@ours.example")
    said = send(GATE, STRANGER, "", [sent], "Undelivered Mail Returned to Sender")
    assert said.last.code == 250, said
    assert wait_mail(servers["ours"]).recipients == ["ann@ours.example"]
    assert servers["ours"].mails[0].sender == ""
    assert gate.wait_event("mail", direction="outbound")["sender"] == "ann@ours.example"


def test_a_flood_of_bounces_stays_outside(gate, servers):
    """Refused at RCPT, before a server of ours is asked about any of them."""
    asked = list(ASKED)
    begun = time.monotonic()
    for first in range(0, FLOOD, 20):  # of one client 50 refusals are taken at most
        with smtp.Client(GATE, source=STRANGER) as client:
            assert client.command("EHLO mail.stranger.example").code == 250
            for i in range(first, first + 20):
                assert client.command("MAIL FROM:<>").code == 250
                local = ("ann", f"user{i}", f"prvs=0{i:03d}abcdef=ann",
                         tag("ann@ours.example", -1).partition("@")[0])[i % 4]
                reply = client.command(f"RCPT TO:<{local}@ours.example>")
                assert reply.code == 550 and "5.7.13" in str(reply), reply
                assert client.command("RSET").code == 250
    assert time.monotonic() - begun < 20
    assert not servers["ours"].mails and ASKED == asked
    refused = [e for e in gate.events("reject") if "5.7.13" in e["reply"]]
    assert len(refused) == FLOOD and all(e.rule == "postern.conf:10" for e in refused)


def test_others_are_not_held_to_tags(gate, servers):
    assert send(GATE, STRANGER, "joe@stranger.example", ["ann@ours.example"]).last.code == 250
    assert wait_mail(servers["ours"]).recipients == ["ann@ours.example"]


def test_our_own_notice_goes_to_the_plain_address(gate, servers):
    """One of two is refused: the mail is in custody with its tagged sender, the DSN is for the person."""
    said = send(SUBMIT, PC, "ann@ours.example", ["eve@outside.example", "gone@outside.example"])
    assert said.last.code == 250, said
    notice = wait_mail(servers["ours"])
    assert notice.recipients == ["ann@ours.example"] and notice.sender == ""
    assert re.search(rb"(?m)^To: <ann@ours\.example>\r$", notice.message)
    assert b"Final-Recipient: rfc822; gone@outside.example" in notice.message
    assert servers["remote"].mails[0].sender == tag("ann@ours.example")

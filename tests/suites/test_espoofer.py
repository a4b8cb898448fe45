"""espoofer: 19 ways to show one sender and prove another ("Composition Kills", 2020).

Each mail claims to be from a domain with `p=reject` and is sent by another one, whose SPF passes.
A strict gateway passes none of them on; at which stage it refuses, and why, differs.
"""
import json
import re

import pytest

from lab import smtp

GATE, SERVER, CLIENT = "192.0.2.34", "198.51.100.34", "192.0.2.71"
CASES = [f"server_a{n}" for n in range(1, 20)]
# The set writes .com; names of the laboratory end in .example.
ZONES = {
    "attack.example": f'@ TXT "v=spf1 ip4:{CLIENT} -all"\n@ MX 10 mail\nmail A {CLIENT}\n'
                      f'helo TXT "v=spf1 ip4:{CLIENT} -all"\n33 TXT "v=spf1 ip4:{CLIENT} -all"\n'
                      f'33 A {CLIENT}\n*.a TXT "v=spf1 ip4:{CLIENT} -all"\n',
    "legitimate.example": '@ TXT "v=spf1 -all"\n_dmarc TXT "v=DMARC1; p=reject; sp=reject"\n'
                          "@ A 192.0.2.90\n",
}
# Refused at MAIL: what stands there is no reverse-path. a7 may be read without its route.
AT_MAIL = {"server_a2", "server_a5"}


@pytest.fixture(scope="module")
def gate(gateway_module, nsd):
    nsd.set(ZONES)
    nsd.restart()
    return gateway_module(f"""\
        hostname "mx.example.com"
        resolver "192.0.2.53:53" trust "trust.key"
        listen inbound on "{GATE}:25"
        domain "victim.example" deliver to "{SERVER}:25"
        inbound {{
            reject if dmarc is fail
            accept
        }}
        """)


@pytest.fixture(scope="module")
def cases(suite):
    lines = suite("espoofer/cases.jsonl").read_text(encoding="utf-8").splitlines()
    found = {case["id"]: case for case in map(json.loads, lines)}
    assert set(CASES) <= set(found)
    return found


def local(text):
    """The case's text as bytes, with the laboratory's names."""
    return re.sub(rb"(attack|legitimate|victim|any)\.com", rb"\1.example", text.encode("latin-1"))


def play(case):
    message = local(case["message"])
    if case["dkim"]:
        head = f"DKIM-Signature: v=1; a=rsa-sha256; c=simple/relaxed; d={case['dkim']['d']}; " \
               f"s={case['dkim']['s']}; h=from; bh=MHIwMQ==; b=MHIwMQ==\r\n"
        message = local(head) + message
    with smtp.Client(GATE, source=CLIENT) as client:
        replies = [client.command(b"EHLO " + local(case["helo"])),
                   client.command(b"MAIL FROM:" + local(case["mailfrom"]))]
        if replies[-1].code == 250:
            replies.append(client.command("RCPT TO:<victim@victim.example>"))
        if replies[-1].code == 250:
            replies.append(client.command("DATA"))
        if replies[-1].code == 354:
            client.send(smtp.stuffed(message))
            replies.append(client.reply())
    return replies


def test_an_honest_mail_passes(gate):
    """The gate is not simply shut."""
    with smtp.Server(SERVER) as sink, smtp.Client(GATE, source=CLIENT) as client:
        said = client.mail("any@attack.example", ["victim@victim.example"],
                           smtp.message("honest", "any@attack.example"))
        assert said.dot.code == 250, said
        assert len(sink.mails) == 1


@pytest.mark.parametrize("name", CASES)
def test_case(gate, cases, name):
    with smtp.Server(SERVER) as sink:
        replies = play(cases[name])
    assert replies[-1].code // 100 == 5, replies
    if name in AT_MAIL:
        assert len(replies) == 2
    assert sink.mails == []

"""PROXY protocol (EXT-08): 23 headers of version 2, and who may send one."""
import csv

import pytest

from lab import proc, smtp

GATE, SERVER, PROXY = "192.0.2.35", "198.51.100.35", "192.0.2.5"
CONFIG = f"""\
hostname "mx.example.com"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "{GATE}:25" proxied from {{ 192.0.2.0/28 }}
domain "example.com" deliver to "{SERVER}:25"
limits {{ command time 10s }}
inbound {{ accept }}
"""
V4 = b"PROXY TCP4 198.51.100.25 203.0.113.35 1234 25\r\n"


def vectors():
    with open(proc.REPOSITORY / "tests/data/proxy-protocol/v2_vectors.tsv", newline="",
              encoding="ascii") as f:
        return list(csv.DictReader(f, delimiter="\t"))


@pytest.fixture(scope="module")
def gate(gateway_module):
    return gateway_module(CONFIG)


def talk(header, source=PROXY):
    """The first reply after a header, and the one to EHLO if there was a greeting."""
    with smtp.Client(GATE, source=source, greeting=False, timeout=20) as client:
        client.send(header)
        replies = [client.reply()]
        if replies[0].code == 220:
            replies.append(client.command("EHLO client.example"))
        return replies


def greeted(replies):
    return [r.code for r in replies] == [220, 250]


@pytest.mark.parametrize("row", vectors(), ids=lambda row: row["name"].replace(" ", "-"))
def test_version_2(gate, row):
    """Good ones are greeted; of bad ones nobody is served, and nothing crashes."""
    expect = row["expect"]
    if row["name"] == "header from an untrusted client":
        replies = talk(bytes.fromhex(row["hex"]), source="192.0.2.70")
    else:
        replies = talk(bytes.fromhex(row["hex"]))
    if expect.startswith("good"):
        assert greeted(replies), replies
    elif "TLV ignored or refused" in expect or "treat as unknown" in expect or \
            "second is SMTP garbage" in expect:
        # Served or not, the session goes on or ends in order; the next test needs the gateway.
        assert replies[0].code in (0, 220, 421, 500, 554), replies
    else:
        assert not greeted(replies), replies
    assert not gate.events("child-exit")


@pytest.mark.parametrize("header, client", [
    (V4, "198.51.100.25"),
    (b"PROXY TCP6 2001:db8::9 2001:db8::35 1234 25\r\n", "2001:db8::9"),
    (b"PROXY UNKNOWN\r\n", PROXY),
])
def test_version_1_is_the_client(gate, header, client):
    """What the header says is the client in the log, and in the trace of the mail."""
    with smtp.Server(SERVER) as sink:
        with smtp.Client(GATE, source=PROXY, greeting=False) as one:
            one.send(header)
            assert one.reply().code == 220
            said = one.mail("a@sender.example", ["b@example.com"], smtp.message("proxied"))
            assert said.dot.code == 250, said
        trace = sink.mails[0].message.partition(b"\r\nFrom:")[0]
    assert client.encode() in trace
    assert gate.wait_event("mail", client=client)


@pytest.mark.parametrize("header", [
    b"PROXY TCP4 198.51.100.25 203.0.113.35 1234\r\n", b"PROXY\r\n", b"EHLO client.example\r\n",
    b"PROXY TCP4 198.51.100.256 203.0.113.35 1234 25\r\n", b"PROXY TCP4 " + b"1" * 200,
    V4[:-2] + b"\n", b"PROXY TCP4 198.51.100.25 203.0.113.35 1234 65536\r\n",
])
def test_bad_version_1(gate, header):
    assert not greeted(talk(header))


def test_only_listed_peers(gate):
    """A header from anybody else is what it is: no SMTP, and no way to be somebody else."""
    with smtp.Client(GATE, source="192.0.2.70") as client:
        assert client.greeting.code == 220
        answer = client.command(V4.strip())
        assert answer.code // 100 == 5 or answer.code in (0, 421)

"""A mail in through the gateway to a real Postfix, and everything that must not get through.

swaks -> posternd -> Postfix; refusals at RCPT with their words; not an open relay, either way.
"""
import re

import pytest

from lab import proc, smtp
from lab.postfix import Postfix

GATE, SERVER, CLIENT = "192.0.2.25", "198.51.100.5", "192.0.2.70"
SENDER = "alice@sender.example"


@pytest.fixture(scope="module")
def protected():
    server = Postfix("protected", SERVER, domains=["example.com"],
                     recipients={"nobody@example.com": "550 5.1.1 no such user",
                                 "later@example.com": "450 4.2.1 mailbox is busy"},
                     networks=["192.0.2.25/32", "198.51.100.0/24"]).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def gate(gateway_module, protected, first_gate):
    return gateway_module(first_gate)


@pytest.fixture
def client(gate):
    with smtp.Client(GATE, source=CLIENT) as one:
        yield one


def added(arrived, original):
    """What stands before the original bytes; fails unless the rest is byte for byte the same."""
    assert arrived.endswith(original)
    return arrived[:len(arrived) - len(original)]


def test_swaks_to_postfix(gate, protected):
    """The whole way with tools of others at both ends (SRV-10, MIM-09)."""
    protected.clear()
    file = proc.LAB / "swaks.eml"
    original = smtp.message("by swaks", SENDER, body="Hello.\r\n.dot\r\n..two\r\n")
    # swaks ends the data with a CRLF of its own before the dot.
    file.write_bytes(original[:-2])
    said = proc.run("swaks", "--server", GATE, "--local-interface", CLIENT, "--helo",
                    "mail.sender.example", "--from", SENDER, "--to", "bob@example.com",
                    "--data", f"@{file}", check=False)
    assert said.returncode == 0, said.stdout
    mail = protected.wait_mails(1)[0]
    assert (mail.sender, mail.recipient) == (SENDER, "bob@example.com")
    assert mail.data.endswith(original.replace(b"\r\n", b"\n"))
    trace = mail.message.get_all("Received")
    assert len(trace) == 2, trace
    ours = " ".join(trace[1].split())
    assert re.match(r"from mail\.sender\.example \(.*192\.0\.2\.70.*\) by mx\.example\.com ", ours)
    event = gate.wait_event("mail", client=CLIENT)
    assert event["sender"] == SENDER


def test_bytes_are_kept(gateway, first_gate):
    """8-bit bytes, long lines, dots, blanks at line ends, no final line end: all as they came."""
    bodies = [b"", b"\r\n", b".\r\n", b"..\r\n.x\r\n", b"\xe4\xf6\xfc\xff\x80\r\n",
              b"a" * 998 + b"\r\n", b"trailing \t \r\n\r\n\r\n",
              b"\r\n." * 500 + b"\r\n", b"x\r\n" * 200000]
    with smtp.Server("198.51.100.6") as sink:
        gateway(first_gate.replace(GATE, "192.0.2.26").replace(SERVER, "198.51.100.6"))
        with smtp.Client("192.0.2.26", source=CLIENT) as client:
            for i, body in enumerate(bodies):
                original = smtp.message(f"bytes {i}", body="") + body
                said = client.mail(SENDER, ["bob@example.com"], original)
                assert said.dot.code == 250, (i, said)
                assert len(sink.mails) == i + 1
                head = added(sink.mails[i].message, original)
                # Lines added are whole header lines, each ours, and nothing else.
                assert re.fullmatch(rb"(?:(?:Received|Authentication-Results): [^\r\n]*\r\n"
                                    rb"(?:[ \t][^\r\n]*\r\n)*)+", head), head
                assert sink.mails[i].sender == SENDER
                assert sink.mails[i].recipients == ["bob@example.com"]


def test_wrong_destination(gate, client):
    """Refused at RCPT, 550 5.7.1, with both addresses in the log; the session goes on."""
    said = client.mail(SENDER, ["bob@other.example"], b"")
    assert said.recipients[0].code == 550
    assert said.recipients[0].enhanced == "5.7.1"
    event = gate.wait_event("reject", recipient="bob@other.example")
    assert (event["sender"], event["client"]) == (SENDER, CLIENT)
    assert client.command("RSET").code == 250
    assert client.command("NOOP").code == 250


def test_each_recipient_has_its_answer(gate, client, protected):
    protected.clear()
    said = client.mail(SENDER, ["bob@other.example", "bob@example.com", "carol@EXAMPLE.com"],
                       smtp.message("mixed"))
    assert [r.code for r in said.recipients] == [550, 250, 250]
    assert said.dot.code == 250
    assert {m.recipient.lower() for m in protected.wait_mails(2)} == \
        {"bob@example.com", "carol@example.com"}


@pytest.mark.parametrize("recipient, kind", [("nobody@example.com", 5), ("later@example.com", 4)])
def test_refusal_of_the_server_is_never_a_250(gate, recipient, kind):
    """What the protected server refuses is refused to the client, at RCPT or at the dot."""
    with smtp.Client(GATE, source=CLIENT) as client:
        said = client.mail(SENDER, [recipient], smtp.message("refused"))
        last = said.last
        assert last.code // 100 in (4, kind), said
        assert last.code != 250
    # The client's next attempt hears the server's own verdict at the latest.
    with smtp.Client(GATE, source=CLIENT) as client:
        said = client.mail(SENDER, [recipient], smtp.message("refused again"))
        assert said.last.code // 100 == kind, said


RELAY_FORMS = [
    "bob@other.example", "bob@sender.example", "bob@example.com.other.example", "bob@com",
    "bob@notexample.com", "bob@sub.example.com", "bob@example.com.",
    "@example.com:bob@other.example", "bob@[198.51.100.9]", "bob@[IPv6:2001:db8::9]", "bob",
    "other.example!bob", "", "@",
    "bob@other.example@example.com", "bob@example.com@other.example", "bob@", "@example.com",
    "bob@other.example\0@example.com", "bob@example.com>,<bob@other.example",
]


@pytest.mark.parametrize("form", RELAY_FORMS)
def test_not_an_open_relay(gate, form):
    """Nothing but a declared domain gets in, however the address is written (SRV-07)."""
    with smtp.Client(GATE, source=CLIENT) as client:
        client.command("EHLO client.example")
        assert client.command(f"MAIL FROM:<{SENDER}>").code == 250
        answer = client.command(f"RCPT TO:<{form}>")
        assert answer.code // 100 == 5 or answer.code == 0, answer


@pytest.mark.parametrize("local", ['"bob@other.example"', "bob%other.example", "other.example!bob",
                                   '"bob%other.example"', "+bob"])
def test_no_second_address_inside_the_local_part(gateway, first_gate, local):
    """If such a local part is taken at all, it goes to the protected server as it is."""
    with smtp.Server("198.51.100.6") as sink:
        gateway(first_gate.replace(GATE, "192.0.2.26").replace(SERVER, "198.51.100.6"))
        with smtp.Client("192.0.2.26", source=CLIENT) as client:
            said = client.mail(SENDER, [f"{local}@example.com"], smtp.message("local part"))
        if said.recipients[0].code == 250:
            assert said.dot.code == 250
            assert sink.mails[0].recipients == [f"{local}@example.com"]
        else:
            assert said.recipients[0].code // 100 == 5
            assert sink.mails == []


@pytest.mark.parametrize("sender", ["", "bob@example.com", "root@mx.example.com"])
def test_a_local_looking_sender_opens_nothing(gate, sender):
    with smtp.Client(GATE, source=CLIENT) as client:
        said = client.mail(sender, ["bob@other.example"], b"")
        assert said.last.code // 100 == 5


@pytest.mark.parametrize("source, served", [
    ("192.0.2.70", True), ("192.0.2.127", True), ("192.0.2.128", False), ("198.51.100.70", False),
    ("2001:db8::70", False), ("2001:db8:1::70", True)])
def test_outbound_serves_its_networks_only(gateway, source, served):
    """The other direction: who is in none of the listed networks sends nothing to anybody."""
    gate = "2001:db8::26" if ":" in source else "192.0.2.26"
    with smtp.Server("198.51.100.6") as relay:
        gateway("""\
            hostname "mx.example.com"
            resolver "192.0.2.53:53" trust "trust.key"
            listen outbound on "192.0.2.26:25" from { 192.0.2.64/26 2001:db8:1::/48 }
            listen outbound on "[2001:db8::26]:25" from { 192.0.2.64/26 2001:db8:1::/48 }
            domain "example.com" deliver to "198.51.100.99:25"
            send smarthost "198.51.100.6:25"
            outbound { accept }
            """)
        with smtp.Client(gate, source=source) as client:
            said = client.mail("alice@example.com", ["bob@other.example"], smtp.message("out"))
        if served:
            assert [r.code for r in said.recipients] == [250]
        else:
            assert said.last.code // 100 == 5 or said.last.code == 0, said
            assert relay.sessions == []


def test_server_down_is_451(gateway, first_gate):
    """Nothing listens behind the gate: a temporary refusal, and the mail stays with its sender."""
    gateway(first_gate.replace(GATE, "192.0.2.26").replace(SERVER, "198.51.100.99"))
    with smtp.Client("192.0.2.26", source=CLIENT) as client:
        said = client.mail(SENDER, ["bob@example.com"], smtp.message("nobody home"))
        assert said.last.code == 451, said


@pytest.mark.parametrize("config, words", [
    ('hostname "mx.example.com"\nlisten inbound on\n', ":2:"),
    ('hostname "mx.example.com"\nbogus setting\n', ":2:"),
    ("inbound { accpet }\n", "accept"),
])
def test_wrong_configuration_never_starts(posternd, nsd, config, words):
    """The error names file, line and column, and the likely meaning; status not 0."""
    from lab.postern import Postern
    gate = Postern(config)
    status, said = gate.check()
    assert status != 0
    assert "postern.conf" in said and words in said
    assert not gate.sanitizer_reports()

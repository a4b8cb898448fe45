"""TLS of the listeners: versions, SNI, what is forgotten and what is dropped (RFC 3207, SMG-07)."""
import socket
import ssl

import pytest

from lab import proc, smtp

GATE, SERVER, CLIENT = "192.0.2.55", "198.51.100.55", "192.0.2.75"
NAMES = ("mx.ours.example", "mail.other.example")
CONFIG = f"""\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "{GATE}:25" tls optional certificate "a.pem" key "a.key" \\
    certificate "b.pem" key "b.key"
listen inbound on "{GATE}:26" tls required certificate "a.pem" key "a.key"
listen inbound on "{GATE}:465" tls implicit certificate "a.pem" key "a.key"
listen inbound on "{GATE}:2525"
domain "ours.example" deliver to "{SERVER}:25"
limits {{ command time 10s }}
inbound {{ accept }}
"""


@pytest.fixture(scope="module")
def files(authority):
    found = {}
    for letter, name in zip("ab", NAMES):
        found[f"{letter}.pem"], found[f"{letter}.key"] = authority.issue(name)
    return found


@pytest.fixture(scope="module")
def gate(gateway_module, files):
    return gateway_module(CONFIG, files)


@pytest.fixture(scope="module")
def server():
    with smtp.Server(SERVER) as one:
        yield one


def connect(port=25, greeting=True):
    return smtp.Client(GATE, port, source=CLIENT, timeout=20, greeting=greeting)


def upgrade(client, context, name=NAMES[0]):
    client._sock = context.wrap_socket(client._sock, server_hostname=name)


def test_starttls(gate, authority, server):
    """Offered before, not after; the mail's trace and the log name version and cipher."""
    with connect() as client:
        assert b"STARTTLS" in client.command("EHLO client.example").raw
        assert client.starttls(authority.client_context(), NAMES[0]).code == 220
        assert b"STARTTLS" not in client.command("EHLO client.example").raw
        assert client.command("STARTTLS").code == 503
        said = client.mail("a@sender.example", ["b@ours.example"], smtp.message("tls"))
        assert said.dot.code == 250
    trace = server.mails[-1].message.partition(b"\r\nFrom:")[0]
    assert b"ESMTPS" in trace and b"TLSv1.3" in trace
    assert gate.events("tls")[-1]["version"] == "TLSv1.3"


@pytest.mark.parametrize("version, served", [
    (ssl.TLSVersion.TLSv1, False), (ssl.TLSVersion.TLSv1_1, False),
    (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)])
def test_versions(gate, authority, version, served):
    """1.2 and newer, however low the client goes."""
    context = authority.client_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with connect() as client:
        client.command("EHLO client.example")
        if served:
            assert client.starttls(context, NAMES[0]).code == 220
            assert client.command("EHLO client.example").code == 250
        else:
            with pytest.raises(ssl.SSLError, match="(?i)version|protocol"):
                client.starttls(context, NAMES[0])


@pytest.mark.parametrize("asked, shown", [(NAMES[0], NAMES[0]), (NAMES[1], NAMES[1]),
                                          (NAMES[1].upper(), NAMES[1]),
                                          ("nobody.example", NAMES[0]), (None, NAMES[0])])
def test_certificate_by_name(gate, authority, asked, shown):
    """SNI chooses among several; another name or none gets the first."""
    context = authority.client_context()
    context.check_hostname = False
    with connect() as client:
        client.command("EHLO client.example")
        assert client.starttls(context, asked).code == 220
        assert client._sock.getpeercert()["subjectAltName"] == (("DNS", shown),)


def test_implicit(gate, authority, server):
    before = len(server.mails)
    with connect(465, greeting=False) as client:
        upgrade(client, authority.client_context())
        assert client.reply().code == 220
        assert b"STARTTLS" not in client.command("EHLO client.example").raw
        said = client.mail("a@sender.example", ["b@ours.example"], smtp.message("implicit"))
        assert said.dot.code == 250
    assert len(server.mails) == before + 1


def test_clear_text_at_the_implicit_port(gate):
    """No SMTP in clear there, and the gateway goes on."""
    with connect(465, greeting=False) as client:
        client.send(b"EHLO client.example\r\n")
        answer = client.reply()
        assert not answer.raw.startswith(b"2"), answer


def test_required(gate, authority):
    """530 before, served after."""
    with connect(26) as client:
        client.command("EHLO client.example")
        assert client.command("MAIL FROM:<a@sender.example>").code == 530
        assert client.command("NOOP").code == 250
        assert client.starttls(authority.client_context(), NAMES[0]).code == 220
        client.command("EHLO client.example")
        assert client.command("MAIL FROM:<a@sender.example>").code == 250


def test_without_a_certificate(gate):
    with connect(2525) as client:
        assert b"STARTTLS" not in client.command("EHLO client.example").raw
        assert client.command("STARTTLS").code // 100 == 5


@pytest.mark.parametrize("injected", [b"NOOP\r\n", b"EHLO injected.example\r\n",
                                      b"MAIL FROM:<evil@injected.example>\r\n",
                                      b"RSET\r\nMAIL FROM:<evil@injected.example>\r\n", b"x",
                                      b"NOOP\r\n" * 3000])
def test_injected_commands(gate, authority, injected):
    """SMG-07: what came in clear behind STARTTLS is never carried out under TLS."""
    with connect() as client:
        client.command("EHLO client.example")
        client.send(b"STARTTLS\r\n" + injected)
        answer = client.reply()
        if answer.code == 220:
            try:
                upgrade(client, authority.client_context())
            except (ssl.SSLError, OSError):
                return
            assert client.extra(0.5) == []
            assert client.command("RCPT TO:<b@ours.example>").code == 503
            assert client.command("EHLO client.example").code == 250
            assert client.command("RCPT TO:<b@ours.example>").code == 503
        else:
            assert answer.code // 100 in (4, 5), answer
    assert not [e for e in gate.events() if e.get("sender", "").startswith("evil")]


def test_what_was_said_in_clear_is_forgotten(gate, authority):
    """RFC 3207 4.2: greeting and transaction; the client begins anew."""
    with connect() as client:
        client.command("EHLO clear.example")
        assert client.command("MAIL FROM:<a@sender.example>").code == 250
        answer = client.starttls(authority.client_context(), NAMES[0])
        if answer.code == 220:
            assert client.command("RCPT TO:<b@ours.example>").code == 503
            assert client.command("MAIL FROM:<a@sender.example>").code == 503
        else:
            assert answer.code == 503
    with connect() as client:
        client.command("EHLO clear.example")
        assert client.starttls(authority.client_context(), NAMES[0]).code == 220
        assert client.command("MAIL FROM:<a@sender.example>").code == 503


@pytest.mark.parametrize("end", ["close_notify", "FIN"])
def test_the_end_of_tls_is_no_end_of_data(gate, authority, server, end):
    """A mail that is cut off is no mail, however politely."""
    before = len(server.mails)
    with connect() as client:
        client.command("EHLO client.example")
        client.starttls(authority.client_context(), NAMES[0])
        for line in ("EHLO client.example", "MAIL FROM:<a@sender.example>",
                     "RCPT TO:<b@ours.example>", "DATA"):
            assert client.command(line).code in (250, 354)
        client.send(smtp.message("cut off") + b"\r\n.")
        closed = len(gate.events("close"))
        if end == "close_notify":
            try:
                client._sock.unwrap()
            except (ssl.SSLError, OSError):
                pass  # it need not answer
        else:
            client._sock.shutdown(socket.SHUT_WR)
        proc.wait_until(lambda: len(gate.events("close")) > closed, "the session's end")
    assert len(server.mails) == before


def test_broken_handshakes(gate, authority):
    """Garbage, half a handshake, a client that does not trust us: the next one is served."""
    for garbage in (b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"\x16\x03\x01\x00\x05hello", b"\r\n",
                    b"\x15\x03\x03\x00\x02\x02\x28"):
        with connect() as client:
            client.command("EHLO client.example")
            assert client.command("STARTTLS").code == 220
            try:
                client.send(garbage)
                client._sock.shutdown(socket.SHUT_WR)
                while client._sock.recv(65536):
                    pass
            except OSError:
                pass
    with connect() as client:
        client.command("EHLO client.example")
        with pytest.raises(ssl.SSLError):
            client.starttls(ssl.create_default_context(cadata=authority.certificate.read_text()),
                            "wrong.example")
    with connect() as client:
        client.command("EHLO client.example")
        assert client.starttls(authority.client_context(), NAMES[0]).code == 220
        assert client.command("EHLO client.example").code == 250
    assert not gate.events("child-exit")


def test_certificates_are_taken_up(gateway, files, authority):
    """Replaced on disk: by SIGHUP; a pair that does not fit is refused and the old one serves."""
    other = CONFIG.replace(GATE, "192.0.2.56")
    gate = gateway(other, files)

    def serial():
        with smtp.Client("192.0.2.56", source=CLIENT) as client:
            client.command("EHLO client.example")
            assert client.starttls(authority.client_context(), NAMES[0]).code == 220
            return client._sock.getpeercert()["serialNumber"]
    first = serial()
    certificate, key = authority.issue(NAMES[0])
    gate.add_file("a.pem", certificate)
    gate.reload()
    error = gate.wait_event("config-error")
    assert "a.key" in str(error.fields) or "a.pem" in str(error.fields), error
    assert serial() == first
    gate.add_file("a.key", key)
    gate.reload()
    gate.wait_event("reload")
    assert serial() != first

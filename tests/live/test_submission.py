"""Submission: who may send, as whom, and what is added and signed (RFC 4954, RFC 6409, OUT-12, -13).

The accounts are made by `postern passwd`, the keys by `postern dkim keygen`, as a postmaster would.
"""
import base64
import hashlib
import hmac
import os
import re

import pytest

from lab import postern, proc, smtp

SUBMIT, INBOUND, RELAY, CLIENT = "192.0.2.45", "192.0.2.46", "198.51.100.45", "192.0.2.74"
ACCOUNTS = {"ann": "correct horse", "bob": "battery:staple=", "zoë": "pâsswörd", "nobody": "none"}
MECHANISMS = ("PLAIN", "LOGIN", "SCRAM-SHA-256")
CONFIG = f"""\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
listen outbound on "{SUBMIT}:587" tls required certificate "gate.pem" key "gate.key" auth "users"
listen outbound on "{SUBMIT}:465" tls implicit certificate "gate.pem" key "gate.key" auth "users"
listen inbound on "{INBOUND}:25" tls optional certificate "gate.pem" key "gate.key"
domain "ours.example" deliver to "{RELAY}:25"
send smarthost "{RELAY}:25"
user "ann" sends as {{ "ann@ours.example", "Sales@ours.example" }}
user "bob" sends as {{ "bob@ours.example", "team.example" }}
sign "ours.example" selector "r" key "r.pem"
sign "ours.example" selector "e" key "e.pem"
inbound {{ accept }}
outbound {{
    sign
    accept
}}
"""
# OUT-12: signed where present; those oversigned are named once more than they stand there.
OVERSIGNED = ["from", "to", "cc", "subject", "date", "message-id", "reply-to", "mime-version",
              "content-type", "content-transfer-encoding"]
PRESENT = ["list-id", "list-unsubscribe", "list-unsubscribe-post"]


def b64(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def passwd(path, name, password):
    proc.run(postern.binary("postern"), "passwd", name, path, input=f"{password}\n".encode(),
             env={**os.environ, **postern.sanitizer_environment()})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The users' file, two keys, and their DNS records as keygen printed them."""
    home = tmp_path_factory.mktemp("submission")
    for name, password in ACCOUNTS.items():
        passwd(home / "users", name, password)
    records = [proc.run(postern.binary("postern"), "dkim", "keygen", "ours.example", selector, kind,
                        home / f"{selector}.pem").stdout.splitlines()[0]
               for selector, kind in (("r", "rsa2048"), ("e", "ed25519"))]
    return home, records


@pytest.fixture(scope="module")
def relay(nsd, made):
    nsd.set({"ours.example": "@ MX 10 mx\nmx A 192.0.2.46\n" + "\n".join(made[1]) + "\n"})
    nsd.restart()
    with smtp.Server(RELAY) as server:
        yield server


@pytest.fixture(scope="module")
def files(made, authority):
    certificate, key = authority.issue("mx.ours.example")
    return {"gate.pem": certificate, "gate.key": key,
            **{name: made[0] / name for name in ("users", "r.pem", "e.pem")}}


@pytest.fixture(scope="module")
def gate(gateway_module, relay, files):
    return gateway_module(CONFIG, files)


@pytest.fixture
def client(gate, authority):
    """A client behind STARTTLS and EHLO, not yet authenticated."""
    with secure(authority) as one:
        yield one


def secure(authority, address=SUBMIT, port=587):
    one = smtp.Client(address, port, source=CLIENT)
    one.command("EHLO client.example")
    assert one.starttls(authority.client_context(), "mx.ours.example").code == 220
    one.hello = one.command("EHLO client.example")
    return one


def scram(client, name, password):
    """The client's side of RFC 5802 without channel binding; the last reply, and if it was the
    server who knows the account."""
    first = f"n={name},r=nonce{os.urandom(9).hex()}"
    said = client.command("AUTH SCRAM-SHA-256 " + b64("n,," + first))
    if said.code != 334:
        return said, False
    challenge = base64.b64decode(said.lines[0]).decode()
    fields = dict(part.split("=", 1) for part in challenge.split(","))
    assert fields["r"].startswith(first.split("r=")[1]) and int(fields["i"]) >= 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]),
                                 int(fields["i"]))
    last = f"c=biws,r={fields['r']}"
    signed = f"{first},{challenge},{last}".encode()
    key = hmac.digest(salted, b"Client Key", "sha256")
    proof = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(key, proof))
    said = client.command(b64(f"{last},p={b64(proof)}"))
    if said.code != 334:
        return said, False
    server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
    known = base64.b64decode(said.lines[0]).decode() == f"v={b64(server)}"
    return client.command(""), known


def log_in(client, mechanism, name, password):
    if mechanism == "PLAIN":
        return client.command("AUTH PLAIN " + b64(f"\0{name}\0{password}"))
    if mechanism == "LOGIN":
        said = client.command("AUTH LOGIN")
        for answer in (name, password):
            assert said.code == 334, said
            said = client.command(b64(answer))
        return said
    return scram(client, name, password)[0]


def mail(client, relay, sender="ann@ours.example", message=None, recipients=("r@dest.example",)):
    """(outcome, what the relay got or None)"""
    before = len(relay.mails)
    said = client.mail(sender, recipients, message or smtp.message("sent", sender), helo=None)
    return said, relay.mails[-1].message if len(relay.mails) > before else None


@pytest.mark.parametrize("name", ["ann", "bob", "zoë"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_log_in(gate, client, mechanism, name):
    """Passwords with blanks, colons, equal signs, and beyond ASCII (SASLprep)."""
    assert set(MECHANISMS) <= set(re.search(r"AUTH ([^\r]*)", str(client.hello.raw, "ascii"))
                                  [1].split())
    assert log_in(client, mechanism, name, ACCOUNTS[name]).code == 235
    assert gate.events("auth")[-1]["user"] == name
    assert client.command("AUTH PLAIN =").code == 503


def test_scram_proves_the_server(client):
    said, known = scram(client, "ann", ACCOUNTS["ann"])
    assert said.code == 235 and known


def test_two_steps(client):
    """PLAIN without an initial response, after LOGIN with one was given up by "*"."""
    assert client.command("AUTH LOGIN " + b64("ann")).code == 334
    assert client.command("*").code == 501
    assert client.command("AUTH PLAIN").code == 334
    assert client.command(b64("ann\0ann\0" + ACCOUNTS["ann"])).code == 235


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_wrong_and_unknown_are_told_alike(gate, authority, mechanism):
    said = []
    for name in ("ann", "not there"):
        with secure(authority) as client:
            said.append(log_in(client, mechanism, name, "wrong"))
    assert [str(s) for s in said] == ["535 5.7.8 Authentication credentials invalid"] * 2
    assert gate.events("auth")[-1]["result"] == "refused"


def test_salt_of_an_unknown_account_stays(authority, gate):
    """SCRAM shows salt and iterations to anybody: of an account that is not there, its own."""
    seen = []
    for name in ("not there", "not there", "nor there"):
        with secure(authority) as client:
            said = client.command("AUTH SCRAM-SHA-256 " + b64(f"n,,n={name},r=abcdef"))
            seen.append(base64.b64decode(said.lines[0]).decode().partition(",")[2])
    assert seen[0] == seen[1] != seen[2]


def test_three_failures_end_the_session(client):
    for _ in range(2):
        assert log_in(client, "PLAIN", "ann", "wrong").code == 535
    assert log_in(client, "PLAIN", "ann", "wrong").code == 535
    assert [r.code for r in client.extra(5)] == [421, 0]


@pytest.mark.parametrize("line", ["AUTH PLAIN " + b64("bob\0ann\0" + ACCOUNTS["ann"]),
                                  "AUTH PLAIN " + b64("\0ann\0"), "AUTH PLAIN " + b64("ann"),
                                  "AUTH PLAIN " + b64("\0ann\0correct horse\0"),
                                  "AUTH PLAIN !!!", "AUTH PLAIN =",
                                  "AUTH SCRAM-SHA-256 " + b64("p=tls-unique,,n=ann,r=x"),
                                  "AUTH SCRAM-SHA-256 " + b64("n,a=bob,n=ann,r=x"),
                                  "AUTH CRAM-MD5", "AUTH SCRAM-SHA-1", "AUTH", "AUTH ANONYMOUS",
                                  "AUTH EXTERNAL =", "AUTH PLAIN a b"])
def test_what_is_no_log_in(client, line):
    """Acting as another, broken framing, mechanisms that are not on offer."""
    said = client.command(line)
    if said.code == 334:
        said = client.command("*")
    assert said.code // 100 == 5, said
    assert client.command("MAIL FROM:<ann@ours.example>").code == 530


def test_no_password_in_clear(gate):
    """Before STARTTLS: not on offer, not taken, and no mail."""
    with smtp.Client(SUBMIT, 587, source=CLIENT) as client:
        assert b"AUTH" not in client.command("EHLO client.example").raw
        said = client.command("AUTH PLAIN " + b64("\0ann\0" + ACCOUNTS["ann"]))
        assert said.code in (502, 503, 530, 538), said
        assert client.command("MAIL FROM:<ann@ours.example>").code == 530


def test_not_offered_inbound(gate, authority):
    with secure(authority, INBOUND, 25) as client:
        assert b"AUTH" not in client.hello.raw
        said = client.command("AUTH PLAIN " + b64("\0ann\0" + ACCOUNTS["ann"]))
        assert said.code // 100 == 5, said


def test_no_mail_without_an_account(client):
    assert client.command("MAIL FROM:<ann@ours.example>").code == 530


@pytest.mark.parametrize("name, sender, author, codes", [
    ("ann", "ann@ours.example", "ann@ours.example", (250, 250)),
    ("ann", "ANN@OURS.example", "sales@ours.example", (250, 250)),
    ("ann", "", "ann@ours.example", (250, 250)),
    ("ann", "bob@ours.example", "ann@ours.example", (553, 0)),
    ("ann", "ann@other.example", "ann@ours.example", (553, 0)),
    ("ann", "ann+x@ours.example", "ann@ours.example", (553, 0)),
    ("ann", "ann@sub.ours.example", "ann@ours.example", (553, 0)),
    ("ann", "ann@ours.example", "bob@ours.example", (250, 550)),
    ("ann", "ann@ours.example", "ann@ours.example>, <bob@ours.example", (250, 550)),
    ("ann", "", "boss@ours.example", (250, 550)),
    ("bob", "any@team.example", "other@TEAM.example", (250, 250)),
    ("bob", "any@sub.team.example", "bob@ours.example", (553, 0)),
    ("nobody", "nobody@ours.example", "nobody@ours.example", (553, 0)),
    ("nobody", "", "nobody@ours.example", (553, 0)),
])
def test_sender_rights(client, relay, name, sender, author, codes):
    """OUT-13: its own addresses and domains, in the envelope and in From."""
    assert log_in(client, "PLAIN", name, ACCOUNTS[name]).code == 235
    said, arrived = mail(client, relay, sender, smtp.message("rights", author))
    assert said.sender.code == codes[0], said
    if said.sender.code == 250:
        assert said.dot.code == codes[1], said
    assert (arrived is not None) == (codes == (250, 250))


def header(message, name):
    """The values of a field, unfolded."""
    head = message.partition(b"\r\n\r\n")[0].decode("utf-8", "replace") + "\r\n"
    return [re.sub(r"\r\n(?=[ \t])", "", value).strip() for value in
            re.findall(rf"(?im)^{name}:((?:[^\r]|\r\n[ \t])*)\r\n", head)]


@pytest.mark.parametrize("there", [(), ("Date",), ("Message-ID",), ("Date", "Message-ID")])
def test_what_is_missing_is_added(client, relay, there):
    """RFC 6409 8: Date and Message-ID, where the client left them out; all else as it came."""
    assert log_in(client, "PLAIN", "ann", ACCOUNTS["ann"]).code == 235
    fields = {"Date": "Sun, 22 Nov 2026 12:00:00 +0000", "Message-ID": "<own@ours.example>"}
    original = "".join(f"{name}: {fields[name]}\r\n" for name in there)
    original = f"{original}From: <ann@ours.example>\r\nTo: <r@dest.example>\r\n\r\nHello\r\n"
    said, arrived = mail(client, relay, message=original.encode())
    assert said.dot.code == 250, said
    assert arrived.endswith(original.encode())
    for name in fields:
        values = header(arrived, name)
        assert len(values) == 1, arrived
        assert (values == [fields[name]]) == (name in there)
    assert re.fullmatch(r"<[!-;=?-~]+@mx\.ours\.example>|<own@ours.example>",
                        header(arrived, "Message-ID")[0])


def signatures(message):
    """Each DKIM-Signature's tags."""
    return [{k.strip(): re.sub(r"\s", "", v) for k, _, v in
             (tag.partition("=") for tag in value.rstrip("; ").split(";"))}
            for value in header(message, "DKIM-Signature")]


BODIES = {"plain": "Hello\r\n", "blank lines at the end": "Hello \t \r\n\r\n\r\n", "empty": "",
          "dots": ".\r\n..\r\n.x\r\n", "8-bit": "Grüße\r\n", "large": "0123456789abcdef\r\n" * 40000}


@pytest.mark.parametrize("body", BODIES)
def test_signatures_verify(client, relay, made, body):
    """RSA-2048 and Ed25519 side by side; python3-dkim, Mail::DKIM and libopendkim ask our DNS."""
    dkim = pytest.importorskip("dkim")
    assert log_in(client, "PLAIN", "ann", ACCOUNTS["ann"]).code == 235
    original = smtp.message("sïgned  twice", "ann@ours.example", body=BODIES[body], cc="a@b.example",
                            mime_version="1.0", content_type="text/plain; charset=utf-8",
                            list_id="<list.ours.example>", x_other="not signed",
                            list_unsubscribe="<https://ours.example/u>",
                            list_unsubscribe_post="List-Unsubscribe=One-Click")
    said, arrived = mail(client, relay, message=original)
    assert said.dot.code == 250, said
    assert arrived.endswith(original)
    tags = signatures(arrived)
    assert {t["a"]: t["s"] for t in tags} == {"rsa-sha256": "r", "ed25519-sha256": "e"}
    for t in tags:
        assert t["d"] == "ours.example" and t["c"] == "relaxed/relaxed" and "l" not in t
        names = t["h"].lower().split(":")
        for name in OVERSIGNED + PRESENT:
            there = len(header(arrived, name))
            assert names.count(name) == there + (name in OVERSIGNED), (name, t["h"])
        assert "x-other" not in names and "received" not in names
    for i in range(2):
        assert dkim.DKIM(arrived).verify(idx=i), f"python3-dkim refuses signature {i}"
        assert not dkim.DKIM(arrived.replace(b"Subject: ", b"Subject: not ")).verify(idx=i)
    perl = proc.run("perl", "-MMail::DKIM::Verifier", "-e",
                    "my $d = Mail::DKIM::Verifier->new; $d->PRINT(do { local $/; <STDIN> });"
                    "$d->CLOSE; print $_->algorithm, ' ', $_->result_detail, qq(\n) for $d->signatures",
                    input=arrived, timeout=10).stdout.split("\n")
    # Without CryptX, Mail::DKIM says that it knows no Ed25519.
    known = [line for line in perl if line and "unsupported algorithm" not in line]
    assert "rsa-sha256 pass" in known and all(line.endswith(" pass") for line in known), perl
    theirs = proc.run("opendkim-testmsg", input=arrived, check=False, timeout=10)
    assert theirs.returncode == 0, theirs.stdout


def test_not_signed_for_others(client, relay):
    """A domain without a key of ours: the mail goes without a signature."""
    assert log_in(client, "PLAIN", "bob", ACCOUNTS["bob"]).code == 235
    said, arrived = mail(client, relay, "x@team.example")
    assert said.dot.code == 250, said
    assert signatures(arrived) == []


def test_implicit_tls(gate, relay, authority):
    context = authority.client_context()
    with smtp.Client(SUBMIT, 465, source=CLIENT, greeting=False) as client:
        client._sock = context.wrap_socket(client._sock, server_hostname="mx.ours.example")
        assert client.reply().code == 220
        hello = client.command("EHLO client.example").raw
        assert b"AUTH" in hello and b"STARTTLS" not in hello
        assert log_in(client, "SCRAM-SHA-256", "ann", ACCOUNTS["ann"]).code == 235
        assert mail(client, relay)[0].dot.code == 250


def test_accounts_change_while_running(gateway, files, authority, relay):
    """Taken up by themselves, and at once by SIGHUP."""
    other = "192.0.2.47"
    gate = gateway(CONFIG.replace(SUBMIT, other).replace(INBOUND, "192.0.2.48"), files)
    users = gate.home / "users"

    def code(name, password):
        with secure(authority, other) as client:
            return log_in(client, "PLAIN", name, password).code
    assert code("ann", ACCOUNTS["ann"]) == 235
    passwd(users, "ann", "another one")
    passwd(users, "new", "new one")
    proc.wait_until(lambda: gate.events("reload"), "the new users' file", 15)
    assert code("ann", ACCOUNTS["ann"]) == 535
    assert code("ann", "another one") == 235
    assert code("new", "new one") == 235
    kept = [line for line in users.read_text().splitlines(True) if not line.startswith("bob:")]
    (gate.home / "users.new").write_text("".join(kept))
    (gate.home / "users.new").rename(users)
    gate.reload()
    proc.wait_until(lambda: len(gate.events("reload")) == 2, "the users' file of the reload")
    assert code("bob", ACCOUNTS["bob"]) == 535
    assert code("new", "new one") == 235

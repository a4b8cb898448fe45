"""DKIM, DMARC and Authentication-Results through the gateway, in and out.

Inbound mails are signed by libopendkim (tests/suites/dkim_theirs), what leaves is verified by it and by
python3-dkim; keys and policies stand in the laboratory's DNS.
"""
import pathlib
import sys

import pytest

from lab import proc, smtp

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "suites"))
import dkim_differential as differential  # noqa: E402

GATE, SUBMIT, SERVER, REMOTE, CLIENT = ("192.0.2.36", "192.0.2.37", "198.51.100.36",
                                        "198.51.100.37", "192.0.2.72")
RULES = """\
hostname "mx.example.com"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "{gate}:25"
domain "victim.example" deliver to "{server}:25"
inbound {{
    reject if dmarc is fail and dmarc.policy is reject
    defer if dmarc is temperror
    accept
}}
"""


@pytest.fixture(scope="module")
def keys():
    return {"rsa": differential.Key("rsa", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
            "ed": differential.Key("ed", "-algorithm", "ED25519")}


def quoted(text):
    return " ".join(f'"{text[i:i + 200]}"' for i in range(0, len(text), 200))


@pytest.fixture(scope="module")
def zones(nsd, keys):
    records = "".join(
        f"{name}._domainkey TXT {quoted(text)}\n" for name, text in
        {"rsa": f"v=DKIM1; k=rsa; p={keys['rsa'].public}",
         "ed": f"v=DKIM1; k=ed25519; p={keys['ed'].public}"}.items())
    nsd.set({
        "signed.example": records + '@ TXT "v=spf1 -all"\n_dmarc TXT "v=DMARC1; p=reject"\n'
                          f"@ A {CLIENT}\nmail A {CLIENT}\n",
        "remote.example": f"@ MX 10 mx\nmx A {REMOTE}\n",
        "victim.example": f"@ MX 10 mx\nmx A {GATE}\n",
    })
    nsd.restart()


@pytest.fixture(scope="module")
def gate(gateway_module, zones):
    return gateway_module(RULES.format(gate=GATE, server=SERVER))


@pytest.fixture(scope="module")
def theirs():
    path = proc.build_dir() / "bin/dkim_theirs"
    if not path.exists():
        pytest.skip(f"{path} is not built")
    engine = differential.Engine(path)
    yield engine
    assert engine.close() == 0


def mail(sender="joe@signed.example", extra=""):
    return (f"From: Joe <{sender}>\r\nTo: ann@victim.example\r\nSubject: hello\r\n{extra}"
            "Date: Sun, 22 Nov 2026 03:00:00 +0000\r\nMessage-ID: <1@signed.example>\r\n"
            "\r\nHello  Ann \r\n\r\n.\r\nJoe\r\n\r\n").encode()


@pytest.fixture(scope="module")
def send(gate):
    """send(message): (reply to the data, what the protected server got or None)"""
    def one(message):
        before = len(sink.mails)
        with smtp.Client(GATE, source=CLIENT) as client:
            said = client.mail("bounce@other.example", ["ann@victim.example"], message)
        return said.last, sink.mails[-1].message if len(sink.mails) > before else None
    with smtp.Server(SERVER) as sink:
        yield one


def results(message):
    """Our Authentication-Results of a mail, unfolded; there is one field at most of our name."""
    header = message.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    fields = header.replace("\r\n\t", " ").replace("\r\n ", " ").split("\r\n")
    ours = [f for f in fields if f.lower().startswith("authentication-results:")
            and "mx.example.com" in f.lower()]
    assert len(ours) == 1, fields
    return ours[0]


@pytest.mark.parametrize("name,algorithm", [("rsa", "rsa-sha256"), ("ed", "ed25519-sha256")])
@pytest.mark.parametrize("canon", ["simple", "relaxed"])
def test_signed_mail_passes(send, theirs, keys, name, algorithm, canon):
    message = mail()
    message = theirs.sign(keys[name], message, algorithm, canon, canon, -1, "signed.example") + message
    reply, got = send(message)
    assert reply.code == 250, reply
    assert got.endswith(message), "the mail was changed below what we add"
    said = results(got)
    assert f"dkim=pass header.d=signed.example header.s={name}" in said
    assert "dmarc=pass header.from=signed.example policy.dmarc=reject" in said
    assert "spf=" in said


def test_changed_mail_is_rejected_by_policy(gate, send, theirs, keys):
    message = mail()
    message = theirs.sign(keys["rsa"], message, domain="signed.example") + message
    reply, got = send(message.replace(b"Joe\r\n\r\n", b"Jim\r\n\r\n"))
    assert reply.code == 550 and got is None, reply
    rejected = gate.wait_event("mail", decision="reject")
    assert rejected.rule == "postern.conf:6"


def test_forged_mail_without_signature_is_rejected(send):
    reply, got = send(mail())
    assert reply.code == 550 and got is None, reply


def test_a_length_that_leaves_text_unsigned_is_no_pass(send, theirs, keys):
    message = mail()
    message = theirs.sign(keys["rsa"], message, length=10, domain="signed.example") + message
    reply, got = send(message)
    assert reply.code == 550 and got is None, reply


def test_forged_results_are_removed(send):
    """HDR-04: ten spellings of our name; those of others stay."""
    forged = ["mx.example.com; dmarc=pass", "MX.Example.COM; spf=pass", '"mx.example.com"; none',
              "(x) mx.example.com (y); dkim=pass", "mx.example.com 1; dkim=pass",
              "\r\n mx.example.com\r\n ; dkim=pass", "mx.example.com.; dkim=pass",
              "mx.example.com", "evil mx.example.com; dkim=pass", '"mx.\\example.com"; dkim=pass']
    extra = "".join(f"Authentication-Results: {f}\r\n" for f in forged)
    other = "Authentication-Results: mx.other.example; dkim=pass\r\n"
    reply, got = send(mail("joe@unsigned.example", extra + other))
    assert reply.code == 250, reply
    assert "dkim=none" in results(got) and "dmarc=none" in results(got)
    assert other.encode() in got
    assert got.lower().count(b"authentication-results:") == 2


def test_what_we_sign_verifies(gateway_module, zones, keys, theirs):
    """Two keys, two signatures; libopendkim and python3-dkim verify what the remote MX was given."""
    gateway_module(f"""\
        hostname "mx.signed.example"
        resolver "192.0.2.53:53" trust "trust.key"
        listen outbound on "{SUBMIT}:25" from {{ 192.0.2.0/24 }}
        domain "signed.example" deliver to "{SERVER}:25"
        send direct
        sign "signed.example" selector "rsa" key "rsa.pem"
        sign "signed.example" selector "ed" key "ed.pem"
        inbound {{
            accept
        }}
        outbound {{
            sign
            accept
        }}
        """, {"rsa.pem": keys["rsa"].pem, "ed.pem": keys["ed"].pem})
    message = mail(extra="List-Unsubscribe: <https://signed.example/u>\r\n"
                         "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")
    with smtp.Server(REMOTE) as remote, smtp.Client(SUBMIT, source=CLIENT) as client:
        said = client.mail("joe@signed.example", ["eve@remote.example"], message)
        assert said.last.code == 250, said
    got = remote.mails[0].message
    assert got.endswith(message)
    assert got.count(b"DKIM-Signature:") == 2
    zone = {f"{n}._domainkey.signed.example":
            f"v=DKIM1; k={'ed25519' if n == 'ed' else 'rsa'}; p={k.public}" for n, k in keys.items()}
    theirs.send("zone", "".join(f"{n} {t}\n" for n, t in zone.items()).encode())
    assert theirs.verify(got) == ["pass:", "pass:"]
    dkim = pytest.importorskip("dkim")
    for i in range(2):
        verifier = dkim.DKIM(got)
        assert verifier.verify(idx=i, dnsfunc=lambda n, timeout=5:
                               zone.get(n.decode().rstrip("."), "").encode())
        signed = [h.lower() for h in verifier.include_headers]
        assert b"list-unsubscribe" in signed and b"list-unsubscribe-post" in signed
        assert signed.count(b"from") == 2

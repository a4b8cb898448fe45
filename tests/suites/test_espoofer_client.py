"""espoofer's three cases of an account that writes as somebody else (OUT-13), on submission."""
import base64
import json

import pytest

from lab import proc, smtp

GATE, SERVER, CLIENT = "192.0.2.36", "198.51.100.36", "192.0.2.72"
CASES = [f"client_a{n}" for n in range(1, 4)]


@pytest.fixture(scope="module")
def gate(gateway_module, authority, tmp_path_factory):
    users = tmp_path_factory.mktemp("espoofer") / "users"
    proc.run(proc.build_dir() / "bin/postern", "passwd", "attacker", users,
             input=b"secret\n")
    certificate, key = authority.issue("mx.example.com")
    return gateway_module(f"""\
        hostname "mx.example.com"
        resolver "192.0.2.53:53" trust "trust.key"
        listen outbound on "{GATE}:587" tls required certificate "mx.pem" key "mx.key" auth "users"
        send smarthost "{SERVER}:25"
        user "attacker" sends as {{ "attacker@example.com" }}
        outbound {{ accept }}
        """, {"users": users, "mx.pem": certificate, "mx.key": key})


@pytest.fixture(scope="module")
def cases(suite):
    lines = suite("espoofer/cases.jsonl").read_text(encoding="utf-8").splitlines()
    found = {case["id"]: case for case in map(json.loads, lines)}
    assert set(CASES) <= set(found)
    return found


def submit(authority, message):
    """One mail of the account, under TLS and AUTH: the reply to its data."""
    token = base64.b64encode(b"\0attacker\0secret").decode()
    with smtp.Client(GATE, 587, source=CLIENT) as client:
        client.command("EHLO client.example")
        assert client.starttls(authority.client_context(), "mx.example.com").code == 220
        client.command("EHLO client.example")
        assert client.command(f"AUTH PLAIN {token}").code == 235
        said = client.mail("attacker@example.com", ["victim@victim.example"], message, helo=None)
        return said.dot


def test_an_honest_mail_leaves(gate, authority):
    """The account may send as itself: the listener is not simply shut."""
    with smtp.Server(SERVER) as sink:
        honest = smtp.message("honest", "attacker@example.com")
        assert submit(authority, honest).code == 250
        assert len(sink.mails) == 1


@pytest.mark.parametrize("name", CASES)
def test_case(gate, authority, cases, name):
    with smtp.Server(SERVER) as sink:
        answer = submit(authority, cases[name]["message"].encode("latin-1"))
    assert answer.code // 100 == 5, answer
    assert sink.mails == []

"""The way out: by MX and by smarthost, with the remote's answer as ours (OUT-01, OUT-02).

What a remote says stands in the recipient's local part: "r550" is refused at RCPT, "d451" at DATA,
"e552" at the dot. Nothing is stored, so every mail ends as delivered once or not at all.
"""
import base64
import re

import pytest

from lab import dns, smtp
from lab.postfix import Postfix

GATE, SUBMIT, OWN = "192.0.2.38", "192.0.2.39", "198.51.100.39"
REMOTE, REMOTE6, SECOND, DEAD = "198.51.100.40", "2001:db8::40", "198.51.100.41", "198.51.100.99"
SECURE, POSTFIX = "198.51.100.42", "198.51.100.43"
CLIENT = "192.0.2.73"
SENDER = "ann@ours.example"
ZONES = {
    "ours.example": "@ MX 10 mx\nmx A 192.0.2.38\n",
    "dest.example": f"""\
        @ MX 10 mx
        mx A {REMOTE}
        other MX 10 mx
        order MX 30 second
        order MX 20 dead2
        order MX 10 dead
        second A {SECOND}
        dead A {DEAD}
        dead2 A 198.51.100.98
        both MX 10 mx
        both MX 20 second
        null MX 0 .
        implicit A {REMOTE}
        empty TXT "nothing else"
        noaddress MX 10 empty
        literal MX 10 198.51.100.40.
        loop MX 10 gate
        gate A {GATE}
        loopname MX 10 mx.ours.example.
        loopback MX 10 home
        home A 127.0.0.1
        behind MX 10 gate
        behind MX 20 mx
        front MX 10 mx
        front MX 20 gate
        six MX 10 mx6
        mx6 AAAA {REMOTE6}
        half MX 10 mxhalf
        mxhalf AAAA 2001:db8::99
        mxhalf A {REMOTE}
        postfix MX 10 mxpostfix
        mxpostfix A {POSTFIX}
        demanded MX 10 mx
        secure MX 10 mxsecure
        mxsecure A {SECURE}
        relay A {SECURE}
        """,
}
CONFIG = f"""\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "{GATE}:25"
listen outbound on "{SUBMIT}:25" from {{ 192.0.2.64/26 }}
domain "ours.example" deliver to "{OWN}:25"
send direct
destination "demanded.dest.example" {{ tls required }}
destination "secure.dest.example" {{ tls required }}
inbound {{ accept }}
outbound {{ accept }}
"""
STAGES = {"r": "rcpt", "d": "data", "e": "dot"}


def verdict(recipients, stage):
    """The refusal that a local part of the recipients asks for at this stage, or None."""
    for recipient in recipients:
        found = re.match(r"([rde])([45])(\d\d)@", recipient)
        if found and STAGES[found[1]] == stage:
            return f"{found[2]}{found[3]} {found[2]}.7.9 the remote's own words"
    return None


class Remote(smtp.Server):
    """A remote that says what the local part asks for."""

    def __init__(self, address, **more):
        script = {
            "rcpt": lambda recipient, _session: verdict([recipient], "rcpt"),
            "data": lambda _argument, session: verdict(session.transactions[-1].recipients, "data"),
            "dot": lambda transaction, _session: verdict(transaction.recipients, "dot"),
        }
        super().__init__(address, script={**script, **more.pop("script", {})}, **more)


@pytest.fixture(scope="module")
def zones(nsd):
    nsd.set(ZONES)
    nsd.restart()


@pytest.fixture(scope="module")
def remote(zones):
    with Remote(REMOTE) as server:
        yield server


@pytest.fixture(scope="module")
def gate(gateway_module, remote):
    return gateway_module(CONFIG)


def send(recipients, address=SUBMIT, sender=SENDER):
    with smtp.Client(address, source=CLIENT) as client:
        return client.mail(sender, recipients, smtp.message("out", sender, recipients[0]))


def test_by_mx(gate, remote):
    """One mail, two recipients of one destination: one transaction, one copy, the remote's words."""
    before = len(remote.mails)
    said = send(["one@dest.example", "two@dest.example"])
    assert said.dot.code == 250 and "taken" in str(said.dot), said
    assert [m.recipients for m in remote.mails[before:]] == [["one@dest.example",
                                                              "two@dest.example"]]
    assert remote.mails[-1].sender == SENDER
    event = gate.events("mail", direction="outbound")[-1]
    assert event["decision"] == "accept" and event["hop"] == "mx.dest.example"


@pytest.mark.parametrize("domain", ["implicit", "half", "literal"])
def test_ways_to_the_same_server(gate, remote, domain):
    """No MX: the A record (RFC 5321 5.1). IPv6 that does not answer: IPv4. An MX that is an
    address is nobody's server."""
    before = len(remote.mails)
    said = send([f"one@{domain}.dest.example"])
    if domain == "literal":
        assert (said.last.code, said.last.enhanced) == (550, "5.4.4"), said
        assert len(remote.mails) == before
    else:
        assert said.last.code == 250, said
        assert len(remote.mails) == before + 1


def test_ipv6(gate):
    with Remote(REMOTE6) as server:
        assert send(["one@six.dest.example"]).last.code == 250
        assert len(server.mails) == 1


def test_order_of_preference(gate, remote):
    """Two dead servers are passed over; then the best one that answers gets it."""
    with Remote(SECOND) as second:
        assert send(["one@order.dest.example"]).last.code == 250
        assert len(second.mails) == 1
        before = len(remote.mails)
        assert send(["one@both.dest.example"]).last.code == 250
        assert (len(second.mails), len(remote.mails)) == (1, before + 1)


@pytest.mark.parametrize("stage, answer", [("connect", "421 4.3.2 not now"),
                                           ("connect", smtp.Drop()),
                                           ("connect", "554 5.7.1 not you"),
                                           ("ehlo", "421 4.3.2 not now"),
                                           ("mail", "451 4.3.2 not now")])
def test_next_mx_before_the_data(gateway, zones, stage, answer):
    """A server that is there but does not serve, or not now: the next one (RFC 5321 5.1)."""
    with Remote(DEAD, script={stage: answer}), Remote(SECOND) as second:
        gateway(CONFIG.replace(GATE, "192.0.2.40").replace(SUBMIT, "192.0.2.41"))
        assert send(["one@order.dest.example"], "192.0.2.41").last.code == 250
        assert len(second.mails) == 1


@pytest.mark.parametrize("stage, answer", [("connect", "554 5.7.1 you are listed"),
                                           ("ehlo", "421 4.7.1 you are listed"),
                                           ("mail", "451 4.7.1 you are listed")])
def test_words_before_the_mail(gateway, zones, stage, answer):
    """Nobody takes it, and one of them says why: 451 with those words, never for good."""
    with Remote(DEAD, script={stage: answer}):
        gate = gateway(CONFIG.replace(GATE, "192.0.2.42").replace(SUBMIT, "192.0.2.43"))
        said = send(["one@order.dest.example"], "192.0.2.43").last
        assert (said.code, said.enhanced) == (451, "4.7.1"), said
        assert "you are listed" in str(said)
        assert gate.events("attempt")[-1]["host"] == "dead.dest.example"


@pytest.mark.parametrize("recipient, code, enhanced", [
    ("one@null.dest.example", 556, "5.1.10"), ("one@nothere.dest.example", 550, "5.1.2"),
    ("one@empty.dest.example", 550, "5.4.4"), ("one@noaddress.dest.example", 550, "5.4.4"),
    ("one@loop.dest.example", 554, "5.4.6"), ("one@loopname.dest.example", 554, "5.4.6"),
    ("one@loopback.dest.example", 554, "5.4.6"), ("one@behind.dest.example", 554, "5.4.6"),
    ("one@[127.0.0.1]", 554, "5.4.6"), (f"one@[{GATE}]", 554, "5.4.6"),
])
def test_no_way_there(gate, remote, recipient, code, enhanced):
    """Null MX (RFC 7505), no such domain, no address, ourselves (OUT-01)."""
    before = len(remote.sessions)
    said = send([recipient])
    assert (said.last.code, said.last.enhanced) == (code, enhanced), said
    assert len(remote.sessions) == before


def test_servers_in_front_of_ourselves(gate, remote):
    """As backup MX: those with a better preference get it, we are never asked."""
    before = len(remote.mails)
    assert send(["one@front.dest.example"]).last.code == 250
    assert len(remote.mails) == before + 1


def test_silent_and_failing_dns(gateway, zones, remote):
    """SERVFAIL, of the MX or of the server's address: 451, and nothing is sent."""
    broken = dns.Misbehaving({("servfail.example", None): dns.Answer(rcode="SERVFAIL"),
                              ("mx.dest.example", None): dns.Answer(rcode="SERVFAIL")}).start()
    try:
        gateway(CONFIG.replace('"192.0.2.53:53" trust "trust.key"', '"192.0.2.54:53" insecure')
                .replace(GATE, "192.0.2.40").replace(SUBMIT, "192.0.2.41"))
        before = len(remote.sessions)
        for recipient in ("one@servfail.example", "one@dest.example"):
            said = send([recipient], "192.0.2.41")
            assert (said.last.code, said.last.enhanced) == (451, "4.4.3"), said
        assert len(remote.sessions) == before
    finally:
        broken.stop()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("code", ["550", "552", "554", "450", "451", "452"])
def test_refusals_of_the_remote(gate, remote, stage, code):
    """5xx: its code and words. 4xx: 451 with its words. Never 250, no copy."""
    before = len(remote.mails)
    said = send([f"{stage}{code}@dest.example"])
    expected = int(code) if code[0] == "5" else 451
    assert said.dot.code == expected, said
    assert "the remote's own words" in str(said.dot)
    assert said.dot.enhanced == f"{code[0]}.7.9"
    assert len(remote.mails) == before
    assert gate.events("attempt")[-1]["reply"].startswith(code)


@pytest.mark.parametrize("bad, code", [("r550", 451), ("r450", 451)])
def test_one_of_two_is_refused(gate, remote, bad, code):
    """One reply serves both and nothing is stored: nobody gets it, and nobody is told wrong."""
    before = len(remote.mails)
    said = send(["good@dest.example", f"{bad}@dest.example"])
    assert said.dot.code == code, said
    assert len(remote.mails) == before


def test_both_are_refused(gate, remote):
    before = len(remote.mails)
    assert send(["r550@dest.example", "r551@dest.example"]).dot.code in (550, 551)
    assert send(["r550@dest.example", "r451@dest.example"]).dot.code == 451
    assert len(remote.mails) == before


def test_second_destination(gate, remote):
    """452 4.5.3 (RFC 5321 4.5.3.1.10): the client sends that one again, the first is delivered."""
    before = len(remote.mails)
    said = send(["one@dest.example", "two@other.dest.example", "three@ours.example"])
    assert [(r.code, r.enhanced) for r in said.recipients[1:]] == [(452, "4.5.3")] * 2, said
    assert said.dot.code == 250
    assert remote.mails[before].recipients == ["one@dest.example"]


def test_declared_domain_goes_to_its_server(gate, remote):
    """Whichever listener took it: never by MX (DESIGN: outbound)."""
    before = len(remote.sessions)
    with smtp.Server(OWN) as own:
        assert send(["bob@ours.example"]).last.code == 250
        assert len(own.mails) == 1
    assert len(remote.sessions) == before


def test_lost_behind_the_dot(gate):
    """In doubt: 451, and said so in the log; one copy may be there (RFC 1047)."""
    with Remote(SECOND, script={"dot": smtp.Drop()}):
        said = send(["one@order.dest.example"])
    assert said.dot.code == 451, said
    assert gate.events("attempt")[-1]["reply"].startswith("451")


def test_tls_where_it_is_offered(gate, authority):
    """A real Postfix as remote MX: STARTTLS is taken, the certificate is not asked for."""
    server = Postfix("mxpostfix", POSTFIX, domains=["postfix.dest.example"],
                     tls=authority.issue("somebody.example"),
                     recipients={"nobody@postfix.dest.example": "550 5.1.1 no such user"},
                     main={"smtpd_tls_received_header": "yes"}).start()
    try:
        assert send(["one@postfix.dest.example"]).last.code == 250
        arrived = server.wait_mails(1)[0]
        assert "TLSv1.3" in arrived["Received"], arrived["Received"]
        assert gate.events("attempt")[-1]["tls"] == "yes"
        said = send(["nobody@postfix.dest.example"])
        assert said.dot.code == 550 and "no such user" in str(said.dot), said
    finally:
        server.stop()


def test_tls_that_fails_is_gone_without(gate, authority, remote):
    """Opportunistic: a handshake that fails is no reason to keep the mail."""
    with Remote(SECOND, extensions=["STARTTLS", "PIPELINING"]) as server:
        assert send(["one@order.dest.example"]).last.code == 250
        assert [s.tls for s in server.sessions if s.transactions] == [False]


def test_tls_demanded(gate, remote):
    """`tls required`: 451 where there is none or the certificate names another; nothing in clear."""
    before = len(remote.mails)
    said = send(["one@demanded.dest.example"])
    assert said.dot.code == 451, said
    assert len(remote.mails) == before


@pytest.mark.parametrize("name, code", [("mxsecure.dest.example", 250), ("mx.dest.example", 451)])
def test_tls_demanded_of_the_right_one(gateway, zones, authority, name, code):
    """The certificate is valid, and names the server that the MX record names."""
    authority.trust()
    gateway(CONFIG.replace(GATE, "192.0.2.40").replace(SUBMIT, "192.0.2.41"))
    with Remote(SECURE, tls=authority.server_context(name)) as server:
        said = send(["one@secure.dest.example"], "192.0.2.41")
        assert said.dot.code == code, said
        assert [m.session.tls for m in server.mails] == [True] * (code == 250)


def smarthost(a, b, options=""):
    return f"""\
        hostname "mx.ours.example"
        resolver "192.0.2.53:53" trust "trust.key"
        listen outbound on "192.0.2.42:25" from {{ 192.0.2.64/26 }}
        domain "ours.example" deliver to "{OWN}:25"
        send smarthost {a} then {b} {options}
        outbound {{ accept }}
        """


def test_smarthosts_in_order(gateway):
    """The first is dead: the second. It is up again: the first, after it is tried again."""
    gate = gateway(smarthost(f'"{DEAD}:587"', f'"{SECOND}:587"'))
    with smtp.Server(SECOND, 587) as second:
        for _ in range(2):
            assert send(["one@any.example"], "192.0.2.42").last.code == 250
        assert len(second.mails) == 2
        assert gate.wait_event("hop-down")
    said = send(["one@any.example"], "192.0.2.42")
    assert said.dot.code == 451, said


class Guarded(smtp.Server):
    """A smarthost that relays for one account only, after TLS."""

    def __init__(self, authority, name, password="secret"):
        self.password, self.tried = password, []
        super().__init__(SECURE, 587, tls=authority.server_context(name),
                         script={"other": self.other, "mail": self.mail},
                         extensions=["PIPELINING", "AUTH PLAIN"])

    def other(self, line, session):
        if not line.startswith("AUTH PLAIN"):
            return None
        account = base64.b64decode(line.split()[2]).split(b"\0")[1:]
        self.tried.append((session.tls, account))
        session.good = account == [b"us", self.password.encode()]
        return "235 2.7.0 welcome" if session.good else "535 5.7.8 wrong"

    @staticmethod
    def mail(_argument, session):
        return None if getattr(session, "good", False) else "530 5.7.0 Authentication required"


def test_smarthost_with_account_and_tls(gateway, zones, authority):
    """AUTH goes over TLS only, and to a host that its certificate names."""
    authority.trust()
    gateway(smarthost(f'"{DEAD}:587"', '"relay.dest.example:587" auth "us" password "p"',
                      "tls required"), {"p": "secret\n"})
    for name, code in (("relay.dest.example", 250), ("other.dest.example", 451)):
        with Guarded(authority, name) as server:
            said = send(["one@any.example"], "192.0.2.42")
            assert said.dot.code == code, (name, said)
            assert all(tls for tls, _ in server.tried)
            assert len(server.mails) == (code == 250)


def test_smarthost_that_knows_us_not(gateway, zones, authority):
    """A wrong password is our trouble, not the sender's: 451."""
    authority.trust()
    config = smarthost('"relay.dest.example:587" auth "us" password "p"', f'"{DEAD}:587"')
    gateway(config, {"p": "secret\n"})
    with Guarded(authority, "relay.dest.example", password="changed") as server:
        said = send(["one@any.example"], "192.0.2.42")
        assert said.dot.code == 451, said
        assert server.tried and server.mails == []

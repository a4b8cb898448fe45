"""Beside Postfix (EXT-09): before its queue, after its queue, and in front of it with the client told.

One Postfix is before and behind the filter, as its manual has it: smtpd -> posternd -> smtpd on
another port. Facts are those of the client that came to Postfix; only listed peers are let in.
"""
import contextlib
import re

import pytest

from lab import proc, smtp
from lab.postfix import Postfix

MTA, GATE = "192.0.2.26", "192.0.2.28"
XCLIENT_MX, PROXY_MX, FORWARD_MX = "198.51.100.26", "198.51.100.27", "198.51.100.28"
NEAR = "198.51.100.0/24"  # whom these see us come from: on one machine, their own address
CLIENT, FORGER = "192.0.2.70", "198.51.100.70"
SENDER = "alice@sender.example"  # v=spf1 ip4:192.0.2.64/26 -all
BEFORE = {"smtpd_proxy_filter": "127.0.0.1:10025"}
AFTER = {"content_filter": "scan:[127.0.0.1]:10025"}
# Behind the filter: nothing is checked again, and XFORWARD is for this Postfix's log.
BEHIND = """\
127.0.0.1:10026 inet n - n - - smtpd
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8 -o mynetworks=127.0.0.0/8
  -o smtpd_proxy_filter= -o content_filter=
  -o smtpd_client_restrictions= -o smtpd_helo_restrictions= -o smtpd_sender_restrictions=
  -o smtpd_relay_restrictions= -o smtpd_recipient_restrictions=permit_mynetworks,reject
  -o syslog_name=behind
scan unix - - n - 10 smtp
  -o smtp_send_xforward_command=yes -o disable_mime_output_conversion=yes
"""
CONFIG = """\
hostname "filter.example.com"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "127.0.0.1:10025" filter from { 127.0.0.1 192.0.2.26 } to "127.0.0.1:10026" client by xforward
inbound {
    reject with "550 5.7.23 SPF forbids this client" if spf is fail
    reject with "550 5.7.1 This subject is forbidden" if header "Subject" contains "forbidden"
    accept
}
"""
INSIDE = f"""\
hostname "mx.example.com"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "{GATE}:25" xclient from {{ 192.0.2.5 }}
domain "xclient.example" deliver to "{XCLIENT_MX}:25" client by xclient
domain "proxy.example" deliver to "{PROXY_MX}:25" client by proxy recipients verify
domain "xforward.example" deliver to "{FORWARD_MX}:25" client by xforward
inbound {{
    reject if recipient is not known
    reject with "550 5.7.23 SPF forbids this client" if spf is fail
    accept
}}
"""


def mta(main):
    """A fresh one, as far as mails go: queue and maildir are those of the last one."""
    server = Postfix("beside", MTA, domains=["example.com"], services=BEHIND, main=main,
                     recipients={"nobody@example.com": "550 5.1.1 no such user"}).start()
    server.clear()
    server.root.run("postsuper", "-c", server.config, "-d", "ALL")
    return server


@pytest.fixture(scope="module", autouse=True)
def names(nsd):
    """The client has this name whatever other modules called its address."""
    nsd.pointers[CLIENT] = "mail.sender.example"
    nsd.set({"sender.example": "@ MX 10 mail\nmail A 192.0.2.70\n"
                               '@ TXT "v=spf1 ip4:192.0.2.64/26 -all"\n'})
    nsd.restart()


@pytest.fixture
def filter_gate(gateway):
    return gateway(CONFIG)


@pytest.fixture
def before(filter_gate):
    server = mta(BEFORE)
    yield server
    server.stop()


@pytest.fixture
def after(filter_gate):
    server = mta(AFTER)
    yield server
    server.stop()


def send(subject, recipient="bob@example.com", source=CLIENT, to=MTA, helo="mail.sender.example"):
    with smtp.Client(to, source=source) as client:
        return client.mail(SENDER, [recipient], smtp.message(subject, SENDER), helo=helo)


def received(mail):
    return [" ".join(line.split()) for line in mail.message.get_all("Received")]


def logged(peer, pattern):
    """A line of the peer's log, as soon as it is there."""
    return proc.wait_until(lambda: re.search(pattern, peer.log()), f"{pattern} in {peer.name}", 10)


def test_before_the_queue(before, filter_gate):
    """The mail goes through, judged by the client that Postfix saw, and is logged behind as its."""
    said = send("before")
    assert said.dot.code == 250, said
    mail = before.wait_mails(1)[0]
    ours = [line for line in received(mail) if "by filter.example.com" in line]
    assert re.match(rf"from mail\.sender\.example \(.*\[{CLIENT}\]\) ", ours[0]), ours
    assert "spf=pass" in mail["Authentication-Results"]
    event = filter_gate.wait_event("client", by="xforward", client=CLIENT)
    assert event["peer"] == "127.0.0.1" and event["helo"] == "mail.sender.example"
    assert filter_gate.wait_event("mail", client=CLIENT, decision="accept")
    logged(before, rf"behind/smtpd\[\d+\]: \w+: .*orig_client=mail\.sender\.example\[{CLIENT}\]")


def test_before_the_queue_refused(before):
    """What our rules say reaches the client word for word, from the envelope and from the mail."""
    said = send("x", source=FORGER)
    assert said.last.code == 550 and "5.7.23 SPF forbids this client" in said.last.lines[0], said
    said = send("this is forbidden")
    assert said.dot.code == 550 and "5.7.1 This subject is forbidden" in said.dot.lines[0], said
    said = send("x", "nobody@example.com")
    assert said.recipients[0].code == 550 and "no such user" in said.recipients[0].lines[0], said
    assert not before.mails() and not before.queue()


def test_before_the_queue_several(before):
    """Several mails of one client, and of two: each is judged as its own client's."""
    with smtp.Client(MTA, source=CLIENT) as client:
        for i in range(3):
            said = client.mail(SENDER, ["bob@example.com", "joe@example.com"],
                               smtp.message(f"several {i}", SENDER), helo="h" if i == 0 else None)
            assert said.dot.code == 250, said
    assert send("x", source=FORGER).last.code == 550
    assert send("again").dot.code == 250
    assert len(before.wait_mails(7)) == 7


def test_behind_the_queue(after, filter_gate):
    """content_filter: one connection with many mails, each with its own XFORWARD."""
    assert send("after one").dot.code == 250
    assert send("after forged", source=FORGER).dot.code == 250  # Postfix has taken it
    assert send("after two", "joe@example.com").dot.code == 250
    mails = after.wait_mails(2, where=lambda m: "after" in m["Subject"])
    assert sorted(m["Subject"] for m in mails) == ["after one", "after two"]
    assert all("spf=pass" in m["Authentication-Results"] for m in mails)
    assert filter_gate.wait_event("client", by="xforward", client=FORGER)
    logged(after, r"status=bounced \(host .* said: 550 5\.7\.23 SPF forbids this client")
    logged(after, rf"behind/smtpd\[\d+\]: \w+: .*orig_client=mail\.sender\.example\[{CLIENT}\]")


def test_local_mail(after):
    """sendmail on the MTA itself: no client, so nothing of the peer is held against it."""
    after.send("root@sender.example", ["bob@example.com"], smtp.message("local", SENDER))
    mail = after.wait_mails(1)[0]
    assert "spf=fail" not in (mail["Authentication-Results"] or "")


def test_many_connections_of_a_peer(gateway):
    """`limits { per client }` is for clients; a listed peer speaks for many."""
    gateway("limits { per client 3 }\n" + CONFIG)
    with contextlib.ExitStack() as held:
        def codes(source):
            return [held.enter_context(smtp.Client("127.0.0.1", 10025, source=source)).greeting.code
                    for _ in range(5)]
        assert codes(MTA) == [220] * 5
        assert codes(CLIENT) == [554] * 3 + [421] * 2


def test_only_listed_peers(before):
    """Anybody else is told so and gets no further, whatever it says of itself."""
    with smtp.Client("127.0.0.1", 10025, source=CLIENT) as client:
        assert client.greeting.code == 554 and client.greeting.enhanced == "5.7.1"
        assert client.command(f"XCLIENT ADDR={MTA}").code == 503
        assert client.command("EHLO x").code == 503
        assert client.command("QUIT").code == 221


@pytest.fixture(scope="module")
def inside(gateway_module):
    """Three protected servers, each told the client in another way."""
    one = Postfix("xclient", XCLIENT_MX, domains=["xclient.example"],
                  main={"smtpd_authorized_xclient_hosts": NEAR,
                        "smtpd_client_restrictions": "check_client_access inline:{ "
                                                     "{ 192.0.2.72 = 550 5.7.1 not from 72 } }",
                        "smtpd_delay_reject": "no"}).start()
    two = Postfix("proxy", PROXY_MX, domains=["proxy.example"],
                  recipients={"nobody@proxy.example": "550 5.1.1 no such user"},
                  main={"smtpd_upstream_proxy_protocol": "haproxy"}).start()
    three = Postfix("xforward", FORWARD_MX, domains=["xforward.example"],
                    main={"smtpd_authorized_xforward_hosts": NEAR}).start()
    gate = gateway_module(INSIDE.replace("listen", "limits { command time 20s }\nlisten", 1))
    yield gate, one, two, three
    for server in (one, two, three):
        server.stop()


def test_xclient_inside(inside):
    """The protected server sees the client, in log and Received; several over one connection."""
    gate, server = inside[:2]
    for i, source in enumerate([CLIENT, CLIENT, "192.0.2.71"]):
        said = send(f"xclient {i}", "bob@xclient.example", source, GATE)
        assert said.dot.code == 250, said
    trace = [received(mail)[0] for mail in server.wait_mails(3)]
    assert all(line.startswith("from mail.sender.example (") for line in trace), trace
    assert sum(f"[{CLIENT}])" in line for line in trace) == 2, trace
    assert sum("[192.0.2.71])" in line for line in trace) == 1, trace
    logged(server, rf"client=mail\.sender\.example\[{CLIENT}\]")
    assert not gate.events("hop-unnamed")


def test_xclient_refused_inside(inside):
    """The protected server's own access rules hold for the client, and it hears them."""
    said = send("x", "bob@xclient.example", "192.0.2.72", GATE)
    assert said.dot.code == 550 and "not from 72" in said.dot.lines[0], said


def test_proxy_inside(inside):
    """A PROXY header in front of each connection, the call-out's too."""
    server = inside[2]
    for i, source in enumerate([CLIENT, "192.0.2.71"]):
        said = send(f"proxy {i}", "bob@proxy.example", source, GATE)
        assert said.dot.code == 250, said
    assert send("x", "nobody@proxy.example", CLIENT, GATE).recipients[0].code == 550
    trace = [received(mail)[0] for mail in server.wait_mails(2)]
    assert sum(f"[{CLIENT}])" in line for line in trace) == 1, trace
    assert sum("[192.0.2.71])" in line for line in trace) == 1, trace


def test_xforward_inside(inside):
    """Logged as the client's; access and Received stay ours."""
    server = inside[3]
    assert send("xforward", "bob@xforward.example", CLIENT, GATE).dot.code == 250
    mail = server.wait_mails(1)[0]
    assert received(mail)[0].startswith("from mx.example.com ")
    logged(server, rf"orig_client=mail\.sender\.example\[{CLIENT}\]")


def test_xclient_to_us(inside):
    """swaks names the client to us: facts are that client's; nobody else can do so."""
    gate = inside[0]

    def swaks(source, address):
        return proc.run("swaks", "--server", GATE, "--local-interface", source, "--from", SENDER,
                        "--to", "bob@xforward.example", "--xclient-addr", address,
                        "--xclient-name", "named.example", check=False)
    assert swaks("192.0.2.5", CLIENT).returncode == 0
    event = gate.wait_event("client", by="xclient", client=CLIENT)
    assert event["peer"] == "192.0.2.5" and event["name"] == "named.example"
    said = swaks("192.0.2.5", FORGER)
    assert said.returncode != 0 and "5.7.23 SPF forbids this client" in said.stdout, said.stdout
    said = swaks(FORGER, CLIENT)
    assert said.returncode != 0 and not gate.events("client", peer=FORGER), said.stdout

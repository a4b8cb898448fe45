"""The laboratory itself: peers exchange mail, the DNS validates, nothing reaches the machine."""
import socket
import struct
import threading

import pytest

from lab import dns, milter_client as milter, proc, smtp
from lab.exim import Exim
from lab.postfix import Postfix
from lab.sendmail import Sendmail


@pytest.fixture(scope="module")
def zones(nsd):
    nsd.set({"inner.example": "@ MX 10 mx\nmx A 198.51.100.11\n",
             "remote.example": "@ MX 10 mx\nmx A 198.51.100.12\n",
             "open.example": dns.Zone("@ A 192.0.2.80\n", signed=False),
             "bogus.example": dns.Zone("@ A 192.0.2.81\n", expired=True),
             "zen.example": dns.dnsbl({"192.0.2.66": "127.0.0.2 listed"})})
    nsd.restart()
    return nsd


@pytest.mark.parametrize("name, kind, answer", [
    ("inner.example", "MX", "(secure)"),
    ("nothing.inner.example", "A", "(NXDOMAIN). (secure)"),
    ("66.2.0.192.zen.example", "A", "127.0.0.2 (secure)"),
    ("25.2.0.192.in-addr.arpa", "PTR", "mx.example.com. (secure)"),
    ("open.example", "A", "192.0.2.80 (insecure)"),
    ("bogus.example", "A", "BOGUS"),
])
def test_dnssec(zones, name, kind, answer):
    """libunbound, forwarding to NSD with our trust file, sees what the zones were made for."""
    conf = proc.LAB / "unbound-host.conf"
    conf.write_text(f'server:\n trust-anchor-file: "{zones.trust_file}"\n'
                    " do-not-query-localhost: no\n unblock-lan-zones: yes\n"
                    f'forward-zone:\n name: "."\n forward-addr: {dns.ADDRESS}\n')
    said = proc.run("unbound-host", "-v", "-C", conf, "-t", kind, name, check=False).stdout
    assert answer.replace("(NX", "3(NX") in said


def test_misbehaving_dns(zones):
    rules = {("late.example", "A"): dns.Answer(["192.0.2.9"], delay=0.5),
             ("ill.example", None): dns.Answer(rcode="SERVFAIL"),
             ("mute.example", None): dns.Answer(silent=True)}
    server = dns.Misbehaving(rules).start()
    try:
        def ask(name, kind):
            return proc.run("drill", "@192.0.2.54", name, kind, check=False).stdout
        assert "192.0.2.9" in ask("late.example", "A")
        assert "rcode: SERVFAIL" in ask("ill.example", "TXT")
        assert "mail.sender.example" in ask("sender.example", "MX")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            s.sendto(bytes.fromhex("00010100000100000000000004" "6d757465" "076578616d706c6500"
                                   "00010001"), ("192.0.2.54", 53))
            with pytest.raises(TimeoutError):
                s.recv(512)
        assert ("mute.example", "A") in server.asked
    finally:
        server.stop()


def test_peers_exchange_mail(zones, authority):
    """Postfix sends to Exim and Exim to Postfix, by MX and over STARTTLS, as between strangers."""
    postfix = Postfix("pinner", "198.51.100.11", domains=["inner.example"],
                      recipients={"no@inner.example": "550 5.1.1 no such user"},
                      tls=authority.issue("mx.inner.example")).start()
    exim = Exim("remote", "198.51.100.12", domains=["remote.example"],
                tls=authority.issue("mx.remote.example")).start()
    try:
        with smtp.Client("198.51.100.11") as client:
            said = client.mail("a@sender.example", ["no@inner.example", "yes@inner.example"],
                               smtp.message("direct"))
        assert [r.code for r in said.recipients] == [550, 250]
        postfix.send("p@inner.example", ["x@remote.example"], smtp.message("one"))
        exim.send("e@remote.example", ["y@inner.example"], smtp.message("two"))
        assert exim.wait_mails(1)[0]["Subject"] == "one"
        arrived = postfix.wait_mails(2)
        assert sorted(m["Subject"] for m in arrived) == ["direct", "two"]
        two = next(m for m in arrived if m["Subject"] == "two")
        assert (two.sender, two.recipient) == ("e@remote.example", "y@inner.example")
        assert "esmtps" in exim.mails()[0]["Received"]
        proc.wait_until(lambda: not postfix.queue() and not exim.queue(), "empty queues")
    finally:
        exim.stop()
        postfix.stop()


def test_sendmail():
    sendmail = Sendmail("sm", "198.51.100.13", "sm.example").start()
    try:
        with smtp.Client("198.51.100.13", source="192.0.2.70") as client:
            said = client.mail("a@sender.example", ["x@sm.example", "y@other.example"],
                               smtp.message("to sendmail"))
        assert [r.code for r in said.recipients] == [250, 550]
        assert said.dot.code == 250
        assert sendmail.wait_mails(1)[0].recipient == "x@sm.example"
    finally:
        sendmail.stop()


def test_scripted_server():
    """The byte-exact ends: dots, refusals by script, and a reset instead of an answer."""
    script = {"rcpt": lambda to, _: "450 4.2.0 later" if to.startswith("later") else None,
              "quit": smtp.Drop(reset=True)}
    body = b"Subject: x\r\n\r\n.one\r\n..two\r\n.\r\n"
    with smtp.Server("198.51.100.14", script=script) as server:
        with smtp.Client("198.51.100.14", source="192.0.2.70") as client:
            said = client.mail("", ["later@x.example", "now@x.example"], body)
            assert [r.code for r in said.recipients] == [450, 250]
            assert client.command("QUIT").code == 0
        mail = server.mails[0]
        assert mail.message == body
        assert (mail.recipients, mail.refused) == (["now@x.example"], ["later@x.example"])
        assert mail.session.peer == "192.0.2.70"


def test_machine_is_out_of_reach():
    """Only lo, and no route to anywhere else."""
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
    with pytest.raises(OSError):
        socket.create_connection(("203.0.113.1", 25), timeout=2)


def test_milter_client():
    """What is negotiated away is not sent, what is not answered is not waited for; edits."""
    seen = []

    def serve(sock):
        peer = milter.Mta(sock=sock)
        steps = milter.STEPS["H"][0] | milter.STEPS["L"][1] | milter.SKIP | milter.HEADER_SPACE
        while True:
            letter, data = peer.receive()
            seen.append((letter, data))
            if letter == "O":
                peer.packet("O", struct.pack(">III", 6, 0x11, steps) + b"\0\0\0\2i\0")
            elif letter == "E":
                peer.packet("p")
                peer.packet("i", b"\0\0\0\0X\0 new\n\tline\0")
                peer.packet("m", b"\0\0\0\2To\0\0")
                peer.packet("y", b"451 4.7.1 100%%\0")
            elif letter in "Q":
                break
            elif letter not in "LD":
                peer.packet("s" if letter == "B" else "c")

    near, far = socket.socketpair()
    thread = threading.Thread(target=serve, args=(far,), daemon=True)
    thread.start()
    mta = milter.Mta(sock=near)
    assert mta.negotiate().macros == {"mail": "i"}
    assert mta.connect("mail.example", "192.0.2.1").verdict == "continue"
    assert mta.helo("mail.example") is None
    message = b"From: a\r\nTo: b\r\n c\r\nto:d\r\n\r\nbody"
    outcome = mta.mail("a@b.example", ["c@d.example"], message, 2, {"M": {"i": "4F"}})
    mta.quit()
    thread.join(5)
    assert outcome.end.progress == 1 and outcome.last.text == "451 4.7.1 100%"
    assert outcome.headers == [None] * 3 and [len(d) for c, d in seen if c == "B"] == [2]
    assert ("L", b"To\0 b\n c\0") in seen and ("D", b"Mi\0" + b"4F\0") in seen
    assert milter.edited(outcome, message, True) == (
        b"X: new\r\n\tline\r\nFrom: a\r\nTo: b\r\n c\r\n\r\nbody")

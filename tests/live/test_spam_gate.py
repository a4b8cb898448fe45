"""The fact `spam` at a running gateway: evidence of a real DNS, what the state remembers, what a mail
carries of it, what the log and `postern explain` say; and that nothing waits for what is silent.
"""
import re
import subprocess
import time

import pytest

from lab import dns, postern, proc, smtp

pytestmark = pytest.mark.slow
GATE, SERVER, CLIENT, CLEAN = "192.0.2.186", "198.51.100.186", "192.0.2.66", "192.0.2.79"
ZONES = {
    "sender.example": '@ TXT "v=spf1 ip4:192.0.2.0/24 -all"\n',
    "bl.example": dns.dnsbl({CLIENT: "127.0.0.2", CLEAN: "127.255.255.254"}),
    "uri.example": "bad.example A 127.0.1.2\nerror.example A 127.255.255.1\n",
}
CONFIG = f"""\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{{spool}}"
listen inbound on "{GATE}:25"
domain "ours.example" deliver to "{SERVER}:25"
filter spam {{{{
    client list "bl.example" weight 3
    client list "nowhere.invalid" weight 3
    link list "uri.example" weight 2.5
    weight "seen.new-sender" 9
    weight "seen.new-network" 9
}}}}
inbound {{{{
    reject if subject is "refused" and spam >= 0
    tag "X-Spam-Flag: YES" if spam >= 0
    accept
}}}}
"""


@pytest.fixture(scope="module")
def server():
    with smtp.Server(SERVER) as one:
        yield one


@pytest.fixture
def gate(gateway, nsd, tmp_path):
    nsd.set(ZONES)
    nsd.restart()
    return gateway(CONFIG.format(spool=proc.LAB / f"spam-{tmp_path.name}"))


def mail(subject, body="hello\r\n", **headers):
    return smtp.message(subject, "joe@sender.example", "ann@ours.example", body, **headers)


def send(message, source=CLIENT, sender="joe@sender.example", code=250):
    began = time.monotonic()
    with smtp.Client(GATE, source=source) as client:
        said = client.mail(sender, ["ann@ours.example"], message)
    assert said.last.code == code, said
    return time.monotonic() - began


def fields(server, subject):
    """The X-Spam-Evidence of the mail that arrived, unfolded: all of that name."""
    arrived = [m for m in server.mails if f"Subject: {subject}\r\n".encode() in m.data][-1]
    head = re.sub(r"\r\n[ \t]", " ", arrived.data.decode().partition("\r\n\r\n")[0])
    return re.findall(r"^X-Spam-Evidence: (.*)$", head, re.M)


def pieces(text):
    """{name: (weight, detail)} of a field or of what explain says."""
    return {name: (weight, detail) for name, weight, detail in
            re.findall(r"([a-z]+[.][a-z-]+)[ =]([-+]\d+[.]\d\d)(?: \(([^)]*)\))?", text)}


def test_evidence(gate, server):
    """Beside the tag, in the log, and nothing of what a stranger wrote in our name."""
    forged = "mx.ours.example; spam=0.001; model.site=-9.00"
    message = mail("evidence", "see http://www.bad.example/ and http://error.example/\r\n",
                   x_spam_evidence=forged)
    send(message.replace(b"X-Spam-Evidence", b"X-Spam-Evidence: other.example; x=1\r\nX-Spam-Evidence"))
    ours, others = fields(server, "evidence")
    assert others == "other.example; x=1" and ours.startswith("mx.ours.example; spam=")
    found = pieces(ours)
    assert found["list.client"] == ("+3.00", f"{CLIENT} on bl.example"), ours
    assert found["list.link"] == ("+2.50", "bad.example on uri.example"), ours
    event = gate.wait_event("mail", decision="accept")
    assert f"spam={event['spam']}; " in ours and pieces(event["why"]) == found, (event, ours)
    # a list that has died and one that is not there list nobody, and nobody waits for them
    assert send(mail("clean"), source=CLEAN) < 10
    assert "list.client" not in pieces(fields(server, "clean")[0])


def test_who_has_written_before(gate, server):
    """Known are those whose mail went on, and their networks: in every process, and after a reload."""
    def new(subject, **more):
        send(mail(subject), **more)
        found = pieces(fields(server, subject)[0])
        return [what for what in ("sender", "network") if f"seen.new-{what}" in found]

    send(mail("refused"), code=550)
    assert new("first") == ["sender", "network"]
    proc.wait_until(lambda: new("again") == [], "a sender that is known", 15)
    assert new("another", sender="ann@sender.example") == ["sender"]
    gate.reload()
    gate.wait_event("reload")
    for i in range(8):
        assert new(f"later {i}") == []


def test_explain_says_the_same(gate, server, tmp_path):
    """What the gate has found, `postern explain` finds of the same mail."""
    message = mail("explained", "see http://www.bad.example/now\r\n")
    for _ in range(2):  # explain takes the sender for one that has written before
        send(message)
        time.sleep(1)
    (tmp_path / "mail").write_bytes(message)
    said = subprocess.run(
        [postern.binary("postern"), "-f", gate.config, "explain", "--client", CLIENT, "--helo",
         "client.example", "--from", "joe@sender.example", "--to", "ann@ours.example",
         tmp_path / "mail"], check=True, capture_output=True, text=True, timeout=60,
        env={**postern.sanitizer_environment()}).stdout
    line = re.search(r"^\tspam=(0[.]\d+|1|0) \((.*)\)$", said, re.M)
    assert line, said
    ours = fields(server, "explained")[-1]
    assert pieces(line[2]) == pieces(ours)
    assert abs(float(line[1]) - float(re.search(r"spam=(\d[.]\d+)", ours)[1])) < 0.001

"""contrib/postfix and contrib/sendmail: their lines as they stand, with the real MTA.

The example postern.conf is included by a file that adds what only the laboratory has: its name
server, and one signature in the place of a database.
"""
import dkim
import pytest

from lab import proc, smtp
from lab.postfix import Postfix
from lab.root import Root
from lab.sendmail import Sendmail

MTA = {"postfix": "192.0.2.46", "sendmail": "192.0.2.47"}
REMOTE = "198.51.100.46"
WORLD, LOCAL = "192.0.2.70", "127.0.0.1"
VIRUS = b"POSTERN-CONTRIB-VIRUS-TEST-STRING"
AROUND = """\
resolver "192.0.2.53:53" trust "trust.key"
filter virus { database "signatures" }
include "contrib.conf"
"""
PATHS = [(kind, proc.REPOSITORY / "contrib" / kind) for kind in MTA]


@pytest.fixture(scope="module")
def key(nsd):
    """The private key of example.com; its record, and where mail for dest.example goes, are in
    the DNS."""
    pem = proc.LAB / "contrib.pem"
    proc.run("openssl", "genrsa", "-out", pem, "2048")
    public = proc.run("openssl", "rsa", "-in", pem, "-pubout").stdout
    text = "".join(line for line in public.splitlines()
                   if "-----" not in line and "writing" not in line)
    record = f"v=DKIM1; k=rsa; p={text}"
    pieces = " ".join(f'"{record[i:i + 200]}"' for i in range(0, len(record), 200))
    nsd.set({"example.com": f"@ MX 10 mx\nmx A 192.0.2.25\ns2026._domainkey TXT {pieces}\n",
             "dest.example": f"@ MX 10 mx\nmx A {REMOTE}\nalias CNAME real\nreal MX 10 mx\n"})
    nsd.restart()
    return pem, record.encode()


def main_cf(path):
    """The settings of a main.cf, which has no continuation lines."""
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    return dict(line.split(" = ", 1) for line in lines)


def start_mta(kind, home, more=None, name="contrib"):
    if kind == "sendmail":
        return Sendmail(name, MTA[kind], "example.com",
                        milters=(home / "postern.mc").read_text() + (more or "")).start()
    return Postfix(name, MTA[kind], domains=["example.com"], networks=["127.0.0.0/8"], main={
        **main_cf(home / "main.cf"), **(more or {})}).start()


@pytest.fixture(scope="module", params=PATHS, ids=list(MTA))
def site(request, gateway_module, key):
    """(kind, MTA): the example of that MTA with its Postern."""
    kind, home = request.param
    gate = gateway_module(AROUND, {
        "contrib.conf": home / "postern.conf", "dkim/example.com.pem": key[0],
        "signatures/main.ndb": f"Lab.Contrib:0:*:{VIRUS.hex()}\n"})
    mta = start_mta(kind, home)
    yield kind, mta
    mta.stop()
    gate.stop()


@pytest.fixture
def remote():
    """Where mail for the world arrives."""
    with smtp.Server(REMOTE) as server:
        yield server


def send(mta, source, sender, recipient, message, ending=""):
    with smtp.Client(mta.address, source=source) as client:
        client.command("EHLO client.example")
        assert client.command(f"MAIL FROM:<{sender}>{ending}").code == 250
        reply = client.command(f"RCPT TO:<{recipient}>")
        if reply.code != 250:
            return reply
        assert client.command("DATA").code == 354
        client.send(smtp.stuffed(message))
        return client.reply()


def inbound(mta, **more):
    return send(mta, WORLD, "alice@sender.example", "bob@example.com", smtp.message(**more))


def verifies(message, record):
    try:
        return dkim.verify(message, dnsfunc=lambda _name, timeout=5: record)
    except dkim.DKIMException:
        return False


def test_clean_mail_from_the_world(site):
    _, mta = site
    assert inbound(mta, subject="clean").code == 250
    mail = mta.wait_mails(1, where=lambda m: m["Subject"] == "clean")[0]
    result = mail["Authentication-Results"]
    assert result.startswith("mx.example.com;") and "spf=pass" in result, result


def test_forged_results_are_removed(site):
    _, mta = site
    forged = b"Authentication-Results: mx.example.com; dmarc=pass header.from=bank.example\r\n"
    reply = send(mta, WORLD, "alice@sender.example", "bob@example.com",
                 forged + smtp.message("forged"))
    assert reply.code == 250
    mail = mta.wait_mails(1, where=lambda m: m["Subject"] == "forged")[0]
    assert all("bank.example" not in value
               for value in mail.message.get_all("Authentication-Results"))


def test_virus_from_the_world(site):
    _, mta = site
    reply = inbound(mta, subject="virus", body=VIRUS.decode() + "\r\n")
    assert reply.code == 550 or reply.code == 554, reply
    assert reply.enhanced.startswith("5."), reply


def test_spf_fail(site):
    _, mta = site
    reply = send(mta, "192.0.2.130", "alice@sender.example", "bob@example.com", smtp.message())
    assert reply.code == 550, reply


def test_our_mail_is_signed(site, remote, key):
    _, mta = site
    reply = send(mta, LOCAL, "ann@example.com", "bob@dest.example",
                 smtp.message("out", "ann@example.com", "bob@dest.example"))
    assert reply.code == 250, reply
    proc.wait_until(lambda: remote.mails, "our mail at the remote", 20)
    message = remote.mails[0].message
    assert b"d=example.com; s=s2026;" in message and verifies(message, key[1])
    assert b"Authentication-Results" not in message


def test_our_virus_is_refused(site):
    _, mta = site
    reply = send(mta, LOCAL, "ann@example.com", "bob@dest.example",
                 smtp.message(body=VIRUS.decode() + "\r\n"))
    assert reply.code // 100 == 5, reply


def test_mail_of_a_program(site, remote, key):
    """sendmail(1) of Postfix: non_smtpd_milters. Sendmail's own hands on by SMTP."""
    kind, mta = site
    if kind == "sendmail":
        pytest.skip("sendmail(1) of Sendmail submits by SMTP: as in test_our_mail_is_signed")
    mta.send("ann@example.com", ["bob@dest.example"],
             b"From: ann@example.com\nTo: bob@dest.example\nSubject: cron\n\nDone.\n")
    proc.wait_until(lambda: remote.mails, "a program's mail at the remote", 20)
    assert verifies(remote.mails[0].message, key[1])


def test_while_postern_is_away(site):
    """milter_default_action = tempfail, F=T: nothing passes unseen."""
    kind, mta = site
    more = ({"smtpd_milters": "inet:127.0.0.1:8899"} if kind == "postfix" else
            "define(`confINPUT_MAIL_FILTERS', `away')dnl\n"
            "MAIL_FILTER(`away', `S=inet:8899@127.0.0.1, F=T')dnl\n")
    mta.stop()
    try:
        away = start_mta(kind, proc.REPOSITORY / "contrib" / kind, more)
        with smtp.Client(mta.address, source=WORLD) as client:
            answers = [client.greeting, client.command("EHLO client.example"),
                       client.command("MAIL FROM:<alice@sender.example>"),
                       client.command("RCPT TO:<bob@example.com>")]
        assert any(reply.code // 100 == 4 for reply in answers), answers
        if kind == "postfix":
            away.send("ann@example.com", ["bob@dest.example"], smtp.message())
            proc.wait_until(lambda: any("maildrop" in mail for mail in away.queue()),
                            "a program's mail in maildrop")
        away.stop()
    finally:
        mta.start()


def test_unix_socket(gateway, key):
    """With postfix in the group of Postern's account, here nobody's, as its page says it."""
    home, root = proc.REPOSITORY / "contrib/postfix", Root.get("postfix", "postfix")
    root.run("usermod", "-aG", "nogroup", "postfix")
    root.run("install", "-d", "-m", "0750", "-g", "nogroup", "/var/spool/postfix/postern")
    path = root.file("/var/spool/postfix/postern/milter")
    text = (home / "postern.conf").read_text()
    assert '"inet:8891@127.0.0.1"' in text
    gateway(AROUND, {"contrib.conf": text.replace("inet:8891@127.0.0.1", f"unix:{path}"),
                     "dkim/example.com.pem": key[0],
                     "signatures/main.ndb": f"Lab.Contrib:0:*:{VIRUS.hex()}\n"})
    mta = start_mta("postfix", home,
                    {"smtpd_milters": "unix:/var/spool/postfix/postern/milter"}, "contrib-unix")
    try:
        assert inbound(mta, subject="by a path").code == 250
        assert "spf=pass" in mta.wait_mails(1)[0]["Authentication-Results"]
    finally:
        mta.stop()

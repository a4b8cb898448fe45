"""contrib/learn-imap with a real Dovecot, and contrib/learn-forwarded behind a real gate, teach a
running gateway: what is moved into Junk is learned as spam, taken back out of it as ham."""
import imaplib
import json
import re
import shutil
import smtplib

import pytest

from lab import postern, proc, smtp
from lab.dovecot import Dovecot
from lab.postfix import Postfix

GATE, STORE, SERVER = "192.0.2.186", "192.0.2.187", "198.51.100.186"
SENDER = "192.0.2.70"  # what the SPF record of sender.example allows
HOSTNAME = "mx.ours.example"
CONFIG = f"""\
hostname "{HOSTNAME}"
resolver "192.0.2.53:53" trust "trust.key"
spool "{{spool}}"
listen inbound on "{GATE}:25"
domain "ours.example" deliver to "{SERVER}:25"
filter spam {{{{
    model for {{{{ "ours.example" }}}}
}}}}
inbound {{{{
    tag "X-Spam: yes" if spam > 0.5
    try reject if dmarc is fail
    accept
}}}}
"""
MAILS = proc.REPOSITORY / "tests/mails"


def script(name, *words, **more):
    return proc.run(proc.REPOSITORY / "contrib" / name, *words, timeout=120, check=False, **more)


class Gate:
    def __init__(self, posternd):
        self.posternd = posternd
        self.learn = f"{postern.binary('postern')} -f {posternd.config} learn"

    def status(self, domain=""):
        """(ham, spam) that a model has learned."""
        done = proc.run(*self.learn.split(), "status", "--json")
        for model in map(json.loads, done.stdout.splitlines()):
            if model["domain"] == domain:
                return model["ham"], model["spam"]
        raise AssertionError(done.stdout)


@pytest.fixture
def sink():
    """The protected server. It is there before the gate, which else tries it again in a while."""
    with smtp.Server(SERVER) as server:
        yield server


def start_gate(gateway, nsd, tmp_path):
    nsd.set({"sender.example": f'@ TXT "v=spf1 ip4:{SENDER} -all"\n'
                               '_dmarc TXT "v=DMARC1; p=reject"\n'})
    nsd.restart()
    return Gate(gateway(CONFIG.format(spool=proc.LAB / f"spool-{tmp_path.name}")))


@pytest.fixture
def gate(gateway, nsd, tmp_path):
    return start_gate(gateway, nsd, tmp_path)


@pytest.fixture(scope="module")
def dovecot(authority):
    server = Dovecot(STORE, authority.issue("imap.ours.example")).start()
    yield server
    server.stop()


def mails(kind, label, count):
    return [p.read_bytes() for p in sorted((MAILS / kind / label).iterdir())][:count]


def crlf(mail):
    return mail.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def arrive(dovecot, name, mail):
    """Through the gate, which puts this on top, into a mailbox: what is above does not count."""
    end = b"\r\n" if b"\r\n" in mail else b"\n"
    top = f"Received: from a.example ([192.0.2.9])\tby {HOSTNAME} with ESMTP id {name};\t" \
          "Mon, 2 Nov 2026 10:00:00 +0000".replace("\t", end.decode() + "\t")
    dovecot.deliver(name, top.encode() + end + mail, eightbit=True)


class User:
    """What a person does in a mailbox: mails arrive, and are moved."""

    def __init__(self, dovecot, name):
        self.dovecot, self.name = dovecot, name
        self.imap = imaplib.IMAP4(dovecot.address, 143, timeout=20)
        self.imap.login(name, "x")
        for folder in "Junk", "NotJunk":
            self.imap.create(folder)

    def move(self, count, start, end):
        """The last `count` mails of a folder into another."""
        _, (found,) = self.imap.select(start)
        last = int(found)
        status, _ = self.imap.copy(f"{last - count + 1}:{last}", end)
        assert status == "OK"
        self.imap.store(f"{last - count + 1}:{last}", "+FLAGS", "\\Deleted")
        self.imap.expunge()

    def flags(self, folder):
        _, (found,) = self.imap.select(folder, readonly=True)
        return self.imap.fetch("1:*", "(UID FLAGS)")[1] if int(found) else []

    def close(self):
        self.imap.logout()


class Teacher:
    """learn-imap as the administrator runs it."""

    def __init__(self, gate, authority, home):
        self.gate, self.home = gate, home
        self.password = home / "password"
        self.password.write_text("master-password\n")
        self.password.chmod(0o600)
        self.words = ["--host", "imap.ours.example", "--ca", authority.certificate, "--gateway",
                      HOSTNAME, "--as", "master", "--password-file", self.password, "--state",
                      home / "state.json", "--learn", gate.learn]

    def run(self, *words, status=0):
        done = script("learn-imap", *self.words, *words)
        assert done.returncode == status, done.stdout
        return done.stdout


@pytest.fixture
def names():
    """The laboratory's /etc/hosts knows the IMAP server, for this test."""
    hosts = proc.LAB / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{STORE} imap.ours.example imap.other.example\n")
    proc.run("mount", "--bind", hosts, "/etc/hosts")
    yield
    proc.run("umount", "/etc/hosts")


def test_moved_mails_teach(gate, dovecot, authority, names, tmp_path):
    ann, bo = User(dovecot, "ann"), User(dovecot, "bo")
    spam, ham = mails("newsletter", "spam", 5), mails("receipt", "ham", 4)
    for mail in ham + spam:
        arrive(dovecot, "ann", mail)
    arrive(dovecot, "bo", spam[0])
    teacher = Teacher(gate, authority, tmp_path)
    everybody = "--user", "ann", "--user", "bo"

    assert "ann: Junk: 0 taught" in teacher.run(*everybody)
    assert gate.status() == (0, 0)

    ann.move(5, "INBOX", "Junk")
    bo.move(1, "INBOX", "Junk")
    ann.move(4, "INBOX", "NotJunk")
    before = ann.flags("Junk"), ann.flags("NotJunk")
    assert "ann: Junk: 5 would be taught as spam" in teacher.run(*everybody, "--dry-run")
    assert gate.status() == (0, 0)
    said = teacher.run(*everybody)
    assert "ann: Junk: 5 taught as spam" in said and "ann: NotJunk: 4 taught as ham" in said
    assert "bo: Junk: 1 taught as spam" in said
    assert gate.status() == (4, 5)  # two people, one mail: once
    assert (ann.flags("Junk"), ann.flags("NotJunk")) == before

    assert "ann: Junk: 0 taught" in teacher.run(*everybody)
    ann.move(1, "Junk", "NotJunk")
    assert "ann: NotJunk: 1 taught as ham" in teacher.run(*everybody)
    assert gate.status() == (5, 4)

    teacher.words[teacher.words.index("--state") + 1] = tmp_path / "other.json"
    teacher.run("--user", "ann", "--model", "ours.example", "--most", "2")
    assert gate.status("ours.example") == (2, 2) and gate.status() == (5, 4)
    ann.close()
    bo.close()


def test_no_lesson_of_its_own(sink, gate, dovecot, authority, names, tmp_path):
    """What the gate has tagged, and a filing rule put into Junk, is the filter's own word."""
    dee, teacher = User(dovecot, "dee"), Teacher(gate, authority, tmp_path)
    watches = crlf((MAILS / "newsletter/spam/replica-watches.eml").read_bytes())
    with smtplib.SMTP(GATE, timeout=20, source_address=(SENDER, 0)) as client:
        client.sendmail("a@sender.example", ["dee@ours.example"], watches)
    tagged, = (m.message for m in sink.mails)
    assert b"X-Spam: yes\r\n" in tagged
    dovecot.deliver("dee", tagged, eightbit=True)
    dee.move(1, "INBOX", "Junk")
    said = teacher.run("--user", "dee")
    assert "dee: Junk: 0 taught as spam, 1 left out that the gate had marked itself" in said
    assert gate.status() == (0, 0)
    dee.move(1, "Junk", "NotJunk")
    assert "dee: NotJunk: 1 taught as ham" in teacher.run("--user", "dee")
    assert gate.status() == (1, 0)
    dee.close()


def test_what_can_go_wrong(gate, dovecot, authority, names, tmp_path):
    """Each is told in one line, and teaches nothing."""
    User(dovecot, "cy").close()
    teacher = Teacher(gate, authority, tmp_path)
    assert "nobody has a folder of these names: Spam, Ham" in \
        teacher.run("--user", "cy", "--spam", "Spam", "--ham", "Ham", status=1)
    teacher.words[1] = "imap.other.example"
    assert "certificate" in teacher.run("--user", "cy", status=1)
    teacher.words[1:4] = ["imap.ours.example", "--port", "9"]
    assert "imap.ours.example:9: [Errno 111]" in teacher.run("--user", "cy", status=1)
    gate.posternd.stop()
    arrive(dovecot, "cy", mails("alert", "spam", 1)[0])
    cy = User(dovecot, "cy")
    cy.move(1, "INBOX", "Junk")
    cy.close()
    teacher = Teacher(gate, authority, tmp_path)
    assert "ended with status 1: postern: " in teacher.run("--user", "cy", status=1)
    assert not (tmp_path / "state.json").exists() or "cy spam Junk" not in \
        (tmp_path / "state.json").read_text()


def forwarded(author, attached):
    boundary = b"=_forward"
    head = (f"From: {author}\r\nTo: spam@ours.example\r\nSubject: Fwd: that\r\n"
            "Date: Mon, 2 Nov 2026 10:00:00 +0000\r\nMessage-ID: <f1@sender.example>\r\n"
            "MIME-Version: 1.0\r\n").encode()
    return head + b'Content-Type: multipart/mixed; boundary="%s"\r\n\r\n' % boundary + b"".join(
        b"--%s\r\nContent-Type: message/rfc822\r\n\r\n%s\r\n" %
        (boundary, crlf(mail)) for mail in attached) + \
        b"--%s--\r\n" % boundary


def test_forwarded_through_the_gate(sink, gate, tmp_path):
    """From where the author's domain sends: learned. From elsewhere in his name: not."""
    words = ["--gateway", HOSTNAME, "--domain", "sender.example", "--spam", "spam@ours.example",
             "--state", str(tmp_path / "state.json"), "--learn", gate.learn]
    spam = mails("alert", "spam", 3)
    for source in SENDER, "192.0.2.71":
        with smtplib.SMTP(GATE, timeout=20, source_address=(source, 0)) as client:
            client.sendmail("ann@sender.example", ["spam@ours.example"],
                            forwarded("ann@sender.example", spam))
    true, forged = (m.message for m in sink.mails)
    done = script("learn-forwarded", *words, input=forged)
    assert done.returncode == 0 and "has not found ann@sender.example" in done.stdout
    assert gate.status() == (0, 0)
    done = script("learn-forwarded", *words, input=true)
    assert done.returncode == 0 and "3 taught as spam" in done.stdout, done.stdout
    assert gate.status() == (0, 3)
    script("learn-forwarded", *words, input=true)
    assert gate.status() == (0, 3)


def pipe_of_the_readme(home):
    """The lines for master.cf of contrib/README.md, with this place's names in them."""
    text = (proc.REPOSITORY / "contrib/README.md").read_text()
    lines = re.search(r"^    learn  unix .*\n(?:      .*\n)+", text, re.M).group()
    for theirs, ours in {
            "user=postern": "user=nobody:nogroup",
            "/usr/local/libexec/postern": f"{proc.REPOSITORY}/contrib", "mx.example.com": HOSTNAME,
            "--domain example.com": "--domain sender.example --spam spam@ours.example"
                                    f" --learn {home}/learn",
            "/var/lib/postern": str(home), "${recipient}": "${{recipient}}"}.items():
        assert theirs in lines
        lines = lines.replace(theirs, ours)
    return re.sub(r"^    ", "", lines, flags=re.M)


def test_postfix_pipes(gateway, nsd, tmp_path):
    """Postfix behind the gate hands on what comes to spam@, and tries again while nobody learns."""
    home = proc.LAB / "learn-pipe"
    home.mkdir()
    shutil.chown(home, "nobody")
    server = Postfix("learn", SERVER, domains=["ours.example"], main={
        "transport_maps": "inline:{ { spam@ours.example = learn: } }",
        "learn_destination_recipient_limit": "1"}, services=pipe_of_the_readme(home))
    server.start()
    try:
        gate, learn = start_gate(gateway, nsd, tmp_path), home / "learn"
        learn.write_text(f'#!/bin/sh\nexec {gate.learn} "$@"\n')
        learn.chmod(0o755)
        spam = mails("receipt", "spam", 3)

        def send(source):
            with smtplib.SMTP(GATE, timeout=20, source_address=(source, 0)) as client:
                client.sendmail("ann@sender.example", ["spam@ours.example"],
                                forwarded("ann@sender.example", spam))

        def until(question, what):
            try:
                proc.wait_until(question, what, 90, step=0.2)
            except proc.LabError as e:
                raise AssertionError(f"{e}\n{server.log()[-3000:]}") from None

        send("192.0.2.71")
        until(lambda: "status=sent (delivered via learn service" in server.log(), "a forged mail")
        assert gate.status() == (0, 0) and "status=bounced" not in server.log()
        learn.rename(home / "away")
        send(SENDER)
        until(lambda: "status=deferred (temporary failure. Command output: learn-forwarded: "
              "cannot run" in server.log(), "a deferral")
        (home / "away").rename(learn)
        until(lambda: gate.status() == (0, 3), "three mails learned")
    finally:
        server.stop()

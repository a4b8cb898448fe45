"""What is done beside a decision, through posternd to a real Postfix: redirects, copies, notices, the
journal, and texts under outbound mail, read again by Python's email and verified by python3-dkim.

And the promise of the journal: whatever is killed while mails come, none that was answered 250 is
missing in it (POSTERN_KILLS: another number of kills).
"""
import email
import email.policy
import os
import random
import re
import threading
import time

import pytest

from lab import postern, proc, smtp
from lab.postfix import Postfix

GATE, SUBMIT = "192.0.2.170", "192.0.2.171"
MX, OUTSIDE, SINK, ARCHIVE = "198.51.100.170", "198.51.100.171", "198.51.100.172", "198.51.100.173"
CLIENT = "192.0.2.73"
SENDER = "ann@sender.example"
TEXT = "-- \nFür Sie bestimmt, sonst für niemanden.\n"
PAGE = "<hr><p>Für Sie bestimmt.</p>\n"
CONFIG = f"""\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{{spool}}"
journal to "journal@archive.example"
listen inbound on "{GATE}:25"
listen outbound on "{SUBMIT}:25" from {{{{ 192.0.2.64/26 }}}}
domain "ours.example" deliver to "{MX}:25"
domain "archive.example" deliver to "{MX}:25"
send direct answer within 10s per mail
sign "ours.example" selector "r" key "r.pem"
queue {{{{ retry after 1s, up to 2s lifetime 1h }}}}
inbound {{{{
    redirect to "new@ours.example" if recipient is "old@ours.example"
    copy to "audit@ours.example" if subject contains "copy"
    copy to "audit@archive.example" if subject contains "copy"
    copy to "nobody@ours.example" if subject contains "vain"
    notify "postmaster@ours.example" if subject contains "tell"
    quarantine "watch" if subject contains "keep"
    reject if subject contains "never"
    accept
}}}}
outbound {{{{
    append text file "text.txt" html file "page.html"
    sign
    accept
}}}}
"""


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    home = tmp_path_factory.mktemp("actions")
    record = proc.run(postern.binary("postern"), "dkim", "keygen", "ours.example", "r", "rsa2048",
                      home / "r.pem").stdout.splitlines()[0]
    return home / "r.pem", record


@pytest.fixture(scope="module")
def mx():
    server = Postfix("actions", MX, domains=["ours.example", "archive.example"],
                     recipients={"nobody@ours.example": "550 5.1.1 nobody here of that name"})
    yield server.start()
    server.stop()


@pytest.fixture(scope="module")
def outside():
    server = Postfix("actions-out", OUTSIDE, domains=["outside.example"])
    yield server.start()
    server.stop()


@pytest.fixture(scope="module")
def gate(gateway_module, nsd, key, mx, outside):
    nsd.set({"outside.example": f"@ MX 10 mx\nmx A {OUTSIDE}\n",
             "ours.example": f"@ MX 10 mx\nmx A {GATE}\n{key[1]}\n"})
    nsd.restart()
    return gateway_module(CONFIG.format(spool=proc.LAB / "actions-spool"), {
        "r.pem": key[0], "text.txt": TEXT.encode(), "page.html": PAGE.encode()})


@pytest.fixture(autouse=True)
def empty(request):
    for name in {"mx", "outside"} & set(request.fixturenames):
        request.getfixturevalue(name).clear()


def send(recipients, subject, host=GATE, sender=SENDER, message=None):
    with smtp.Client(host, source=CLIENT) as client:
        return client.mail(sender, recipients, message or smtp.message(subject, sender))


def by_recipient(mx, count):
    """{recipient: [mail]} of all that came; and that no more comes."""
    found = {}
    mx.wait_mails(count)
    time.sleep(0.3)
    for mail in mx.mails():
        found.setdefault(mail.recipient, []).append(mail)
    assert sum(map(len, found.values())) == count, found
    return found


def test_redirect(gate, mx):
    said = send(["old@ours.example", "bob@ours.example"], "hello")
    assert said.dot.code == 250, said
    got = by_recipient(mx, 3)
    assert set(got) == {"new@ours.example", "bob@ours.example", "journal@archive.example"}
    assert got["new@ours.example"][0].sender == SENDER
    assert gate.wait_event("effect", action="redirect to")["to"] == "new@ours.example"


def test_copies(gate, mx):
    said = send(["bob@ours.example", "audit@archive.example"], "copy")
    assert said.dot.code == 250, said
    got = by_recipient(mx, 4)
    assert {r: len(m) for r, m in got.items()} == {
        "bob@ours.example": 1, "audit@ours.example": 1, "audit@archive.example": 1,
        "journal@archive.example": 1}
    copy, own = got["audit@ours.example"][0], got["bob@ours.example"][0]
    assert copy["Message-ID"] == own["Message-ID"] and copy.sender == SENDER
    assert "audit@ours.example" in report_of(got["journal@archive.example"][0])[0]


def test_a_copy_that_fails_is_nobody_s_news(gate, mx):
    said = send(["bob@ours.example"], "vain")
    assert said.dot.code == 250, said
    gate.wait_event("queue", what="quarantined as undeliverable", recipient="nobody@ours.example")
    assert set(by_recipient(mx, 2)) == {"bob@ours.example", "journal@archive.example"}


def report_of(mail):
    """The words and the attached mail of a journal report."""
    assert mail.sender == "" and mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-MS-Journal-Report"] == ""
    words, attached = mail.message.get_payload()
    assert attached.get_content_type() == "message/rfc822"
    return words.get_payload(decode=True).decode(), attached.get_payload(0)


def test_journal(gate, mx):
    """Bcc recipients too; quarantined mail, but none that was refused."""
    said = send(["hidden@ours.example", "bob@ours.example"], "hello")
    assert said.dot.code == 250, said
    words, attached = report_of(by_recipient(mx, 3)["journal@archive.example"][0])
    assert f"Sender: {SENDER}\r\n".replace("\r\n", "\n") in words.replace("\r\n", "\n")
    assert "Recipient: hidden@ours.example" in words and "Recipient: bob@ours.example" in words
    assert attached["Subject"] == "hello" and attached.get_payload().startswith("Hello.")
    mx.clear()
    assert send(["bob@ours.example"], "never").dot.code == 550
    assert send(["bob@ours.example"], "keep").dot.code == 250
    words, attached = report_of(by_recipient(mx, 1)["journal@archive.example"][0])
    assert "Decision: quarantine by" in words and attached["Subject"] == "keep"


def test_notify(gate, mx):
    """One in a minute; the next one counts what was left out (not waited for here)."""
    for _ in range(3):
        assert send(["bob@ours.example"], "tell keep").dot.code == 250
    got = by_recipient(mx, 4)
    assert {r: len(m) for r, m in got.items()} == {
        "postmaster@ours.example": 1, "journal@archive.example": 3}
    notice = got["postmaster@ours.example"][0]
    assert notice.sender == "" and notice["Auto-Submitted"] == "auto-generated"
    words, header = notice.message.get_payload()
    text = words.get_payload(decode=True).decode()
    assert re.search(r"^Rule: \S+postern.conf:17\r?$", text, re.M), text
    assert re.search(r'^Facts: subject="tell keep"\r?$', text, re.M), text
    assert re.search(r"^Decision: quarantine by \S+postern.conf:18\r?$", text, re.M), text
    assert f"Sender: {SENDER}" in text and "Recipient: bob@ours.example" in text
    assert header.get_content_type() == "text/rfc822-headers"
    assert "Subject: tell keep" in header.get_payload()


# --- texts under outbound mail

def part(kind, body, encoding="7bit", charset="utf-8", more=""):
    return (f"Content-Type: text/{kind}; charset={charset}{more}\r\n"
            f"Content-Transfer-Encoding: {encoding}\r\n\r\n{body}")


def multi(sub, *parts, boundary="=_b"):
    inner = "".join(f"--{boundary}\r\n{p}\r\n" for p in parts)
    return (f'Content-Type: multipart/{sub}; boundary="{boundary}"\r\n\r\n'
            f"preamble\r\n{inner}--{boundary}--\r\n")


SHAPES = {  # what stands behind MIME-Version; whether plain text, HTML get a text
    "plain": (part("plain", "Hello.\r\n"), True, False),
    "8bit": (part("plain", "Grüße.\r\n", "8bit"), True, False),
    "quoted": (part("plain", "Gr=C3=BC=\r\n=C3=9Fe =3D x\r\n", "quoted-printable"), True, False),
    "base64": (part("plain", "R3LDvMOfZS4NCg==\r\n", "base64"), True, False),
    "latin1": (part("plain", "Gr=FC=DFe.\r\n", "quoted-printable", "iso-8859-1"), True, False),
    "japanese": (part("plain", "\x1b$B$\"\x1b(B\r\n", "7bit", "iso-2022-jp"), True, False),
    "flowed": (part("plain", "A long \r\nline\r\n", "7bit", "us-ascii", "; format=flowed"),
               True, False),
    "html": (part("html", "<html><body><p>Hi</p></body></html>\r\n"), False, True),
    "alternative": (multi("alternative", part("plain", "Hello.\r\n"),
                          part("html", "<body>Gr=C3=BC=C3=9Fe</bo=\r\ndy>\r\n",
                               "quoted-printable")), True, True),
    "attachment": (multi("mixed", multi("alternative", part("plain", "Hello.\r\n"),
                                        part("html", "<p>PHA+\r\n"), boundary="=_c"),
                         "Content-Type: text/plain; name=a.txt\r\n"
                         "Content-Disposition: attachment; filename=a.txt\r\n\r\nuntouched"),
                   True, True),
    "large": (part("plain", "Grüße.\r\n" + "0123456789\r\n" * 60000, "8bit"), True, False),
}


def mail_of(shape):
    head = (f"From: ann@ours.example\r\nTo: bob@outside.example\r\nSubject: {shape}\r\n"
            "Date: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
            f"Message-ID: <{shape}.{time.monotonic_ns()}@ours.example>\r\nMIME-Version: 1.0\r\n")
    return (head + SHAPES[shape][0]).encode()


def outcome(gate, outside, message, sender="ann@ours.example"):
    said = send(["bob@outside.example"], None, SUBMIT, sender, message)
    assert said.dot.code == 250, said
    return outside.wait_mails(1)[0].data.replace(b"\n", b"\r\n")


def texts(data):
    """[(type, text)] of all that is text, and the number of parts."""
    parsed = email.message_from_bytes(data, policy=email.policy.default)
    assert not any(p.defects for p in parsed.walk()), [p.defects for p in parsed.walk()]
    parts = list(parsed.walk())
    return [(p.get_content_type(), p.get_content().replace("\r\n", "\n")) for p in parts
            if p.get_content_maintype() == "text"], len(parts)


def verify(data):
    dkim = pytest.importorskip("dkim")
    assert dkim.DKIM(data).verify(), "python3-dkim refuses the signature"


@pytest.mark.parametrize("shape", SHAPES)
def test_text_under_mail(gate, mx, outside, shape):
    original = mail_of(shape)
    arrived = outcome(gate, outside, original)
    verify(arrived)
    before, n_before = texts(original)
    after, n_after = texts(arrived)
    assert n_before == n_after and [t for t, _ in before] == [t for t, _ in after]
    want = {"text/plain": SHAPES[shape][1], "text/html": SHAPES[shape][2]}
    for (kind, was), (_, now) in zip(before, after):
        if not want[kind]:
            assert now == was
        elif kind == "text/plain":
            assert now == was + ("" if was.endswith("\n") else "\n") + "\n" + TEXT, now
        else:
            assert now.replace("\n", "") != was and "F&#252;r Sie bestimmt." in now
            assert now.replace("<hr><p>F&#252;r Sie bestimmt.</p>\n", "").replace("\n", "") == \
                was.replace("\n", "")
        want[kind] = False  # the first of each
    event = gate.wait_event("effect", action="append text", result="done")
    assert event["recipients"] == "1"


def test_not_twice(gate, mx, outside):
    once = outcome(gate, outside, mail_of("plain"))
    again = once[once.index(b"From: ann"):]
    outside.clear()
    assert texts(outcome(gate, outside, again)) == texts(once)


@pytest.mark.parametrize("kind, why", [
    ('multipart/signed; boundary="=_b"; protocol="application/pgp-signature"; micalg=pgp-sha256',
     "it is signed"),
    ("application/pkcs7-mime; smime-type=enveloped-data", "it is signed or encrypted by S/MIME"),
    ("multipart/mixed", "its MIME is malformed"),
])
def test_left_as_it_is(gate, mx, outside, kind, why):
    original = (f"From: ann@ours.example\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
                f"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{time.monotonic_ns()}@a>\r\n"
                f"Content-Type: {kind}\r\n\r\n--=_b\r\n\r\nhello\r\n--=_b\r\n"
                "Content-Type: application/pgp-signature\r\n\r\nx\r\n--=_b--\r\n").encode()
    arrived = outcome(gate, outside, original)
    assert arrived.endswith(original[original.index(b"Content-Type"):])
    verify(arrived)
    assert gate.wait_event("effect", action="append text", result="not", why=why)


# --- kill -9

KILLS = int(os.environ.get("POSTERN_KILLS", "12"))
JOURNAL = f"""\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{{spool}}"
journal to "journal@archive.example"
listen inbound on "192.0.2.172:25"
domain "ours.example" deliver to "{SINK}:25"
domain "archive.example" deliver to "{ARCHIVE}:25"
queue {{{{ retry after 1s, up to 2s lifetime 1h }}}}
inbound {{{{
    quarantine if subject contains "keep"
    accept
}}}}
"""


class Sender(threading.Thread):
    """Sends one mail after the other; remembers those that were answered 250."""

    def __init__(self, number, done):
        super().__init__(daemon=True)
        self.number, self.done, self.taken, self.wrong = number, done, [], None

    def run(self):
        n = 0
        try:
            while not self.done.is_set():
                n += 1
                word = "keep" if n % 5 == 0 else "go"
                self.one(f"{word}-{self.number}-{n:05d}")
        except Exception as e:  # pylint: disable=broad-exception-caught
            self.wrong = e  # a test must not pass because its load ended

    def one(self, subject):
        try:
            with smtp.Client("192.0.2.172", source=f"192.0.2.{80 + self.number}", timeout=60) as c:
                said = c.mail(SENDER, ["bob@ours.example"], smtp.message(subject, SENDER))
                if said.dot is not None and said.dot.code == 250:
                    self.taken.append(subject)
        except OSError:
            time.sleep(0.05)


def test_nothing_is_missing_in_the_journal(gateway, nsd):
    chance = random.Random(5)
    done = threading.Event()
    with smtp.Server(SINK) as sink, smtp.Server(ARCHIVE) as archive:
        gate = gateway(JOURNAL.format(spool=proc.LAB / "journal-spool"))
        senders = [Sender(i, done) for i in range(4)]
        for one in senders:
            one.start()
        for i in range(KILLS):
            time.sleep(chance.uniform(0.2, 0.6))
            kind = ("keeper", "session")[i % 2]
            pids = [p for p, name in gate.processes().items() if name.startswith(kind)]
            if pids:
                gate.kill(chance.choice(pids))
                proc.wait_until(lambda: any(n.startswith(kind) for n in
                                            gate.processes().values()), f"another {kind}", 30)
        time.sleep(1)
        done.set()
        for one in senders:
            one.join(90)
            assert one.wrong is None and not one.is_alive(), one.wrong
        taken = {subject for one in senders for subject in one.taken}
        assert len(taken) > 50 and any(s.startswith("keep") for s in taken), len(taken)

        def missing():
            there = {m[1].decode() for mail in list(archive.mails) for m in
                     [re.search(rb"^Subject: ((?:go|keep)-\S+)\r$", mail.message, re.M)] if m}
            return taken - there
        proc.wait_until(lambda: not missing(), "the journal to be whole", 120)
        delivered = {re.search(rb"^Subject: (\S+)\r$", m.message, re.M)[1].decode()
                     for m in list(sink.mails)}
        assert {s for s in taken if s.startswith("go")} <= delivered
        print(f"{len(taken)} mails taken, {KILLS} kills, {len(archive.mails)} reports")

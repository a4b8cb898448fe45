"""Python's email package, flufl.bounce and Sisimai (readers of bounces) read our DSNs (OUT-09)."""
import email
import email.policy
import json
import random
import subprocess

import pytest

import dkim_differential as differential

BIN = differential.ROOT / "build/dev/bin"
FAILED, DELAYED, RELAYED, DELIVERED = range(4)
NO_RECIPIENT, FULL, TOO_LARGE, LISTED, ROUTE = 0, 1, 2, 5, 10
ABOUT_RECIPIENT, ABOUT_US = 0, 2
HEADER = b"From: a@example.org\r\nSubject: Lunch\r\nMessage-ID: <1@example.org>\r\n"
MAIL = HEADER + b"\r\nHello\r\n"


def rcpt(address=b"b@dest.example", action=FAILED, orcpt=b"", code=550, enhanced=511,
         text=b"No such user here", host=b"mx.dest.example", hop=1, kind=NO_RECIPIENT,
         about=ABOUT_RECIPIENT, permanent=1, attempts=1):
    words = [action, address.hex(), orcpt.hex(), code, enhanced, text.hex(), host.hex(), hop,
             kind, about, permanent, attempts]
    return "\t".join(["rcpt"] + [str(w) for w in words])


class Case:
    def __init__(self, engine, rcpts, sender=b"a@example.org", utf8=0, ret=0, envid=b"",
                 give_up=0, original=MAIL, whole=1):
        lines = [f"mail\t{sender.hex()}\t{utf8}\t{ret}\t{envid.hex()}\t{give_up}",
                 *rcpts, f"original\t{whole}\t{original.hex()}"]
        engine.send("dsn", "".join(line + "\n" for line in lines).encode())
        size, self.eightbit, self.smtputf8, self.header_bytes = (
            int(w) for w in engine.process.stdout.readline().split())
        self.bytes = engine.process.stdout.read(size)
        self.message = email.message_from_bytes(self.bytes, policy=email.policy.default)
        self.check()

    def check(self):
        """What holds whatever was put in."""
        assert self.bytes.replace(b"\r\n", b"").translate(None, b"\r\n\0") == \
            self.bytes.replace(b"\r\n", b"")
        assert max(map(len, self.bytes.split(b"\r\n"))) <= 998
        assert self.bytes[:self.header_bytes].endswith(b"\r\n\r\n")
        assert self.bytes[:self.header_bytes].count(b"\r\n\r\n") == 1
        assert self.eightbit == (not self.bytes.isascii())
        assert self.smtputf8 == (not self.bytes[:self.header_bytes].isascii())
        assert not self.message.defects
        assert self.message.get_content_type() == "multipart/report"
        assert self.message["Content-Type"].params["report-type"] == "delivery-status"
        assert self.message["Auto-Submitted"] == "auto-replied"
        assert self.message["From"].addresses[0].addr_spec == "MAILER-DAEMON@example.org"
        self.parts = list(self.message.iter_parts())
        assert len(self.parts) in (2, 3)
        assert self.parts[0].get_content_type() == "text/plain"
        self.text = self.parts[0].get_content().replace("\r\n", "\n")
        kind = self.parts[1].get_content_type()
        if kind == "message/delivery-status":
            self.fields = [dict(b.items()) for b in self.parts[1].get_payload()]
        else:  # the package has no reader for this type
            assert kind == "message/global-delivery-status"
            boundary = b"--" + self.message.get_boundary().encode()
            part = self.bytes[self.header_bytes:].split(boundary)[2].split(b"\r\n\r\n", 1)[1]
            self.fields = [dict(email.message_from_bytes(
                b + b"\r\n\r\n", policy=email.policy.default.clone(utf8=True)).items())
                for b in part.split(b"\r\n\r\n")]
        self.fields = [f for f in self.fields if f]
        assert "Reporting-MTA" in self.fields[0]
        for block in self.fields[1:]:
            assert {"Final-Recipient", "Action", "Status"} <= set(block)
            assert block["Action"] in ("failed", "delayed", "relayed", "delivered")


@pytest.fixture(scope="module")
def engine():
    if not (BIN / "dsn_ours").exists():
        pytest.skip(f"{BIN}/dsn_ours is not built")
    one = differential.Engine(BIN / "dsn_ours")
    yield one
    assert one.close() == 0


def test_fields(engine):
    case = Case(engine, [rcpt(orcpt=b"rfc822;B+2Bx@dest.example")], envid=b"Q+2B7")
    assert case.fields[0] == {"Original-Envelope-Id": "Q+7", "Reporting-MTA": "dns; mx.example.org",
                              "Arrival-Date": "Sun, 22 Nov 2026 03:03:20 +0000"}
    assert case.fields[1] == {
        "Original-Recipient": "rfc822; B+x@dest.example",
        "Final-Recipient": "rfc822; b@dest.example",
        "Action": "failed", "Status": "5.1.1", "Remote-MTA": "dns; mx.dest.example",
        "Diagnostic-Code": "smtp; 550 5.1.1 No such user here",
        "Last-Attempt-Date": "Sun, 22 Nov 2026 03:04:05 +0000"}
    assert "mx.dest.example answered:\n      550 5.1.1 No such user here\n" in case.text
    assert case.message["To"].addresses[0].addr_spec == "a@example.org"
    assert case.message["In-Reply-To"] == "<1@example.org>"
    assert case.parts[2].get_content_type() == "text/rfc822-headers"
    assert case.parts[2].get_payload(decode=True).strip() == HEADER.strip()


def test_whole_mail(engine):
    case = Case(engine, [rcpt()], ret=1)
    assert case.parts[2].get_content_type() == "message/rfc822"
    assert case.parts[2].get_payload(0)["Subject"] == "Lunch"
    assert case.parts[2].get_payload(0).get_content() == "Hello\r\n"
    for case in (Case(engine, [rcpt()], ret=1, whole=0), Case(engine, [rcpt()], ret=2),
                 Case(engine, [rcpt(action=DELIVERED, code=250, enhanced=200)], ret=1)):
        assert case.parts[2].get_content_type() == "text/rfc822-headers"
        assert b"Hello" not in case.bytes


@pytest.mark.parametrize("action, permanent", [(FAILED, True), (DELAYED, False)])
def test_flufl_bounce(engine, action, permanent):
    """The addresses are found, and a delay is told from a failure."""
    all_failures = pytest.importorskip("flufl.bounce").all_failures
    rcpts = [rcpt(b"r%d@dest.example" % i, action, orcpt=b"rfc822;r%d@dest.example" % i,
                  code=550 if permanent else 450, enhanced=511 if permanent else 421)
             for i in range(5)]
    temporary, hard = all_failures(email.message_from_bytes(Case(engine, rcpts).bytes))
    expected = {b"r%d@dest.example" % i for i in range(5)}
    assert (hard, temporary) == ((expected, set()) if permanent else (set(), expected))


def test_flufl_bounce_sees_no_failure_in_success(engine):
    all_failures = pytest.importorskip("flufl.bounce").all_failures
    case = Case(engine, [rcpt(action=DELIVERED, code=250, enhanced=200, text=b"taken")])
    assert all_failures(email.message_from_bytes(case.bytes)) == (set(), set())


def sisimai(case, path):
    path.write_bytes(case.bytes)
    done = subprocess.run(["perl", "-MSisimai", "-e", "print Sisimai->dump($ARGV[0])", path],
                          capture_output=True, timeout=60, check=False)
    if b"Can't locate Sisimai.pm" in done.stderr:
        pytest.skip("libsisimai-perl is not installed: contrib/dependencies test")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("words, reason, status", [
    ({}, "userunknown", "5.1.1"),
    ({"enhanced": 0, "text": b"No"}, "userunknown", "5.1.1"),
    ({"kind": FULL, "code": 552, "enhanced": 522, "text": b"Over quota"}, "mailboxfull", "5.2.2"),
    ({"kind": TOO_LARGE, "code": 552, "enhanced": 0, "text": b"No"}, "mesgtoobig", "5.3.4"),
    ({"kind": LISTED, "about": ABOUT_US, "code": 554, "enhanced": 571,
      "text": b"blocked using zen.example.org"}, "blocked", "5.7.1"),
    # The remote's enhanced code says "no such user", and means us; Sisimai reads its words first.
    ({"kind": LISTED, "about": ABOUT_US, "text": b"blocked using zen.example.org"}, "blocked",
     "5.7.1"),
    ({"kind": ROUTE, "permanent": 0, "code": 0, "enhanced": 0, "hop": 0, "host": b"",
      "text": b"Connection timed out"}, "expired", "4.4.7"),
])
def test_sisimai(engine, tmp_path, words, reason, status):
    """A classifier that knows hundreds of MTAs reads of ours what we meant."""
    case = Case(engine, [rcpt(**words), rcpt(b"c@other.example", **words)])
    told = sisimai(case, tmp_path / "dsn.eml")
    assert [t["recipient"] for t in told] == ["b@dest.example", "c@other.example"]
    assert {f["Status"] for f in case.fields[1:]} == {status}
    host = words.get("host", b"mx.dest.example") or b"mx.example.org"
    for one in told:
        assert one["reason"] == reason
        assert one["deliverystatus"] in (status, "5.1.1" if "about" in words else status)
        assert (one["action"], one["addresser"]) == ("failed", "a@example.org")
        assert (one["subject"], one["rhost"]) == ("Lunch", host.decode())


def test_utf8(engine):
    address = "b\u00fc@b\u00fccher.example"
    case = Case(engine, [rcpt(address.encode(), orcpt=rb"utf-8;b\x{FC}@b\x{FC}cher.example")],
                sender="\u00e4@example.org".encode(), utf8=1,
                original="From: \u00e4@example.org\r\n\r\nx\r\n".encode())
    assert case.smtputf8 and case.eightbit
    assert case.parts[1].get_content_type() == "message/global-delivery-status"
    assert case.fields[1]["Final-Recipient"] == "utf-8; " + address
    assert case.fields[1]["Original-Recipient"] == "utf-8; " + address
    assert case.parts[2].get_content_type() == "message/global-headers"
    assert address in case.text
    # Without UTF-8 the same bytes travel in 7 bits.
    assert not Case(engine, [rcpt(address.encode())], original=b"X: \xfc\r\n\r\n").eightbit


HOSTILE = [b"\r\n--=_0123456789abcdef.0--\r\n", b"\r\n\r\nFrom: evil@example.com\r\n\r\n", b"\0",
           b"\x80\xff\xfe", b"\xc3\xbc", b"x" * 2000, b"a b " * 200, b"\n" * 300, b"\r", b"\t",
           b"--=_0123456789abcdef.0", b"=_0123456789abcdef.0", b"=0D=0A", b"\x1b[2J", b">", b"",
           b"\xe2\x80\xae", b"(", b'"', b";", b"+0D+0A", b"\\x{D}\\x{A}", b"\\x{110000}", b": "]


def test_hostile(engine):
    """No bytes of strangers change the shape: the parts, the blocks, the fields."""
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    quoted = 0
    for round_ in range(300):
        def words(most=4):
            return b"".join(rng.choice(HOSTILE + [b"word "] * 20)
                            for _ in range(rng.randrange(most)))
        n = rng.randrange(1, 6)
        case = Case(engine, [
            rcpt(b"b%d" % i + words() + b"@dest.example", rng.randrange(4), b"rfc822;" + words(),
                 rng.choice([0, 250, 450, 550]), 0, words(6), words(), rng.randrange(2),
                 rng.randrange(12), rng.randrange(4), rng.randrange(2), rng.randrange(3))
            for i in range(n)],
            sender=words() + b"@example.org", utf8=rng.randrange(2), ret=rng.randrange(3),
            envid=words(), give_up=rng.choice([0, 1, 2**63, 2**64 - 1]),
            original=(original := words() + rng.choice([b"", HEADER, MAIL]) + words()),
            whole=rng.randrange(2))
        if case.parts[-1]["Content-Transfer-Encoding"] == "quoted-printable":
            header = (b"\r\n" + original).partition(b"\r\n\r\n")[0][2:]
            assert case.parts[-1].get_payload(decode=True).rstrip(b"\r\n") == \
                header.rstrip(b"\r\n"), (seed, round_)
            quoted += 1
        assert len(case.fields) == 1 + n, (seed, round_)
        for block in case.fields:
            assert set(block) <= {
                "Original-Envelope-Id", "Reporting-MTA", "Arrival-Date", "Original-Recipient",
                "Final-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code",
                "Last-Attempt-Date", "Will-Retry-Until"}, (seed, round_)
        assert set(case.message.keys()) <= {
            "Date", "From", "To", "Subject", "Message-ID", "In-Reply-To", "References",
            "Auto-Submitted", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"}
    assert quoted > 50, seed


def test_10000(engine):
    case = Case(engine, [rcpt(b"r%d@dest.example" % i) for i in range(10000)])
    assert len(case.fields) == 10001
    assert "these 10000 recipients" in case.text and "and 9900 more" in case.text

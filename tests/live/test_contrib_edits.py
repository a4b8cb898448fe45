"""What Postfix and Sendmail do to a mail behind our DKIM signature, as the pages in contrib say it:
one row each, with the lines of contrib and one more setting or without one.
"""
import re

import dkim
import pytest

from lab import proc, smtp
from lab.root import Root
from test_contrib import AROUND, LOCAL, REMOTE, key, send, start_mta  # noqa: F401

pytestmark = pytest.mark.slow
HEADER = {"From": "Ann <ann@example.com>", "To": "<bob@dest.example>", "Subject": "hello",
          "Date": "Sun, 22 Nov 2026 12:00:00 +0000", "Message-ID": "<1@example.com>"}
EIGHT = {"MIME-Version": "1.0", "Content-Type": "text/plain; charset=utf-8",
         "Content-Transfer-Encoding": "8bit"}
SEVEN = ("PIPELINING", "ENHANCEDSTATUSCODES")  # a remote without 8BITMIME
UNSPACED = {"To": "a@dest.example,b@dest.example"}
NO_DATE = {"Date": None}
NO_ID = {"Message-ID": None}
DOTS = {"From": "Ann Q. Public <ann@example.com>"}
ALIAS = {"To": "<bob@alias.dest.example>"}
GENERIC = {"smtp_generic_maps": "inline:{ann@example.com=ann@isp.example}"}
HERE = {"local_header_rewrite_clients": "permit_mynetworks"}
INTACT, BROKEN = True, False


def case(kind, name, verdict, fields=None, more=None, without="", body="Hello.\r\n", offers=None):
    return pytest.param(kind, verdict, fields or {}, more, without, body, offers,
                        id=f"{kind}-{name.replace(' ', '-')}")


def postfix(name, verdict, fields=None, **more):
    return case("postfix", name, verdict, fields, **more)


def sendmail(name, verdict, fields=None, **more):
    return case("sendmail", name, verdict, fields, **more)


CASES = [
    postfix("plain", INTACT),
    postfix("8 bit", INTACT, EIGHT, body="Grüße\r\n"),
    postfix("8 bit to 7", BROKEN, EIGHT, body="Grüße\r\n", offers=SEVEN),
    postfix("8 bit to 7 unconverted", INTACT, EIGHT, body="Grüße\r\n", offers=SEVEN,
            more={"disable_mime_output_conversion": "yes"}),
    postfix("smtp_generic_maps", BROKEN, more=GENERIC),
    postfix("smtp_header_checks", BROKEN,
            more={"smtp_header_checks": "regexp:/etc/postfix-edits/subject"}),
    postfix("header_checks", INTACT, more={"header_checks": "regexp:/etc/postfix-edits/subject"}),
    postfix("smtp_body_checks", BROKEN,
            more={"smtp_body_checks": "regexp:/etc/postfix-edits/body"}),
    postfix("body_checks", INTACT, more={"body_checks": "regexp:/etc/postfix-edits/body"}),
    postfix("canonical_maps", INTACT,
            more={"canonical_maps": "inline:{ann@example.com=ann.lee@example.com}", **HERE}),
    postfix("masquerade_domains", INTACT, {"From": "<ann@host.example.com>"},
            more={"masquerade_domains": "example.com", **HERE}),
    postfix("no Date or Message-ID, completed", INTACT, {**NO_DATE, **NO_ID}, more=HERE),
    postfix("no Date or Message-ID, always added", INTACT, {**NO_DATE, **NO_ID},
            more={"always_add_missing_headers": "yes"}),
    postfix("To without domain", INTACT, {"To": "bob"}, more=HERE),
    postfix("To without spaces", INTACT, UNSPACED),
    postfix("line of 998", INTACT, body="x" * 998 + "\r\n"),
    postfix("Bcc", INTACT, {"Bcc": "<carol@dest.example>"}),
    sendmail("plain", INTACT),
    sendmail("8 bit", INTACT, EIGHT, body="Grüße\r\n"),
    sendmail("8 bit to 7 flag 8", INTACT, EIGHT, body="Grüße\r\n", offers=SEVEN),
    sendmail("8 bit to 7", BROKEN, EIGHT, body="Grüße\r\n", offers=SEVEN, without="+8"),
    sendmail("dots quoted", BROKEN, DOTS, without="QUOTE_CHARS"),
    sendmail("dots", INTACT, DOTS),
    sendmail("To without spaces", BROKEN, UNSPACED),
    sendmail("To without domain", BROKEN, {"To": "<bob>"}),
    sendmail("CNAME", BROKEN, ALIAS),
    sendmail("CNAME nocanonify", INTACT, ALIAS, more="FEATURE(`nocanonify')dnl\n"),
    sendmail("line of 998", INTACT, body="x" * 998 + "\r\n"),
    sendmail("line of 998 cut", BROKEN, body="x" * 998 + "\r\n", without="MAILER_LL"),
    sendmail("name in parentheses", INTACT, {"From": "ann@example.com (Ann)"}),
    sendmail("MASQUERADE_AS", BROKEN, more="MASQUERADE_AS(`isp.example')dnl\n"
             "MASQUERADE_DOMAIN(`example.com')dnl\n"),
    sendmail("no Date", INTACT, NO_DATE),
    sendmail("no Message-ID", INTACT, NO_ID),
    sendmail("Bcc", INTACT, {"Bcc": "<carol@dest.example>"}),
]


@pytest.fixture(scope="module")
def gate(gateway_module, key):  # noqa: F811
    home = proc.REPOSITORY / "contrib/postfix"
    return gateway_module(AROUND, {"contrib.conf": home / "postern.conf",
                                   "dkim/example.com.pem": key[0],
                                   "signatures/main.ndb": "Lab.None:0:*:00010203\n"})


def message(fields, body):
    lines = [f"{name}: {value}\r\n" for name, value in {**HEADER, **fields}.items()
             if value is not None]
    return ("".join(lines) + "\r\n" + body).encode()


def started(kind, more, without):
    """The MTA with the lines of contrib, without those that hold a word, with more."""
    home = proc.REPOSITORY / "contrib" / kind
    if without:
        copy = proc.LAB / f"without-{re.sub('[^A-Z0-9]', '', without)}"
        copy.mkdir(exist_ok=True)
        text = (home / "postern.mc").read_text()
        kept = [line for line in text.splitlines(True) if without not in line]
        assert len(kept) == len(text.splitlines()) - 1
        (copy / "postern.mc").write_text("".join(kept))
        home = copy
    if kind == "postfix":
        root = Root.get("postfix", "postfix")
        root.write("/etc/postfix-edits/subject", "/^Subject:/ REPLACE Subject: changed\n")
        root.write("/etc/postfix-edits/body", "/^Hello/ REPLACE Changed.\n")
        more = {"relayhost": f"[{REMOTE}]:25", **(more or {})}
    return start_mta(kind, home, more, f"edits-{kind}")


@pytest.mark.parametrize("kind, verdict, fields, more, without, body, offers", CASES)
def test_signature(gate, key, kind, verdict, fields, more, without, body, offers):  # noqa: F811
    mta = started(kind, more, without)
    try:
        with smtp.Server(REMOTE, extensions=offers or smtp.Server.EXTENSIONS) as remote:
            reply = send(mta, LOCAL, "ann@example.com", "bob@dest.example", message(fields, body),
                         " BODY=8BITMIME" if "MIME-Version" in fields else "")
            assert reply.code == 250, reply
            proc.wait_until(lambda: remote.mails, "the mail at the remote", 20)
            sent = remote.mails[0].message
    finally:
        mta.stop()
    assert b"d=example.com; s=s2026;" in sent
    try:
        found = dkim.verify(sent, dnsfunc=lambda _name, timeout=5: key[1])
    except dkim.DKIMException:
        found = False
    assert found == verdict, sent.decode("utf-8", "replace")


@pytest.mark.parametrize("kind, fields, body", [
    ("postfix", {}, "x" * 999 + "\r\n"), ("sendmail", {}, "x" * 999 + "\r\n"),
    ("sendmail", {"From": "<ann>"}, "Hello.\r\n")])
def test_refused(gate, kind, fields, body):
    """What never gets as far as the MTA's own repair: lines over 998 bytes, and a From without
    domain with Sendmail, which completes addresses behind its milters."""
    mta = started(kind, None, "")
    try:
        reply = send(mta, LOCAL, "ann@example.com", "bob@dest.example", message(fields, body))
    finally:
        mta.stop()
    assert reply.code == 550, reply

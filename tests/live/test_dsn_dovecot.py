"""Dovecot takes our DSNs by LMTP and finds in them the parts that we meant (OUT-09)."""
import sys

import pytest

from lab import proc
from lab.dovecot import Dovecot

sys.path.insert(0, str(proc.REPOSITORY / "tests/suites"))

import dkim_differential as differential  # noqa: E402
from test_dsn import MAIL, Case, rcpt  # noqa: E402

ADDRESS = "192.0.2.143"


@pytest.fixture(scope="module")
def dovecot():
    server = Dovecot(ADDRESS).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ours():
    path = proc.build_dir() / "bin/dsn_ours"
    if not path.exists():
        pytest.skip(f"{path} is not built")
    one = differential.Engine(path)
    yield one
    assert one.close() == 0


def read(dovecot, name, case):
    """The BODYSTRUCTURE, and the second part as Dovecot cuts it out."""
    dovecot.deliver(name, case.bytes, bool(case.eightbit))
    shape = dovecot.fetch(name, "(BODYSTRUCTURE)").decode()
    status = dovecot.fetch(name, "(BODY.PEEK[2])")
    assert '"report" ("report-type" "delivery-status" "boundary" ' in shape
    return shape, status


def test_header_comes_back(dovecot, ours):
    shape, status = read(dovecot, "headers", Case(ours, [rcpt()]))
    assert '("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" ' in shape
    assert '("message" "delivery-status" NIL NIL NIL "7bit" ' in shape
    assert '("text" "rfc822-headers" ("charset" "us-ascii") NIL NIL "7bit" ' in shape
    assert b"Final-Recipient: rfc822; b@dest.example\r\nAction: failed\r\nStatus: 5.1.1" in status
    third = dovecot.fetch("headers", "(BODY.PEEK[3])")
    assert b"Subject: Lunch" in third and b"Hello" not in third


def test_mail_comes_back(dovecot, ours):
    """The whole mail is a message of its own, with an envelope that can be searched."""
    shape, _ = read(dovecot, "whole", Case(ours, [rcpt()], ret=1))
    assert '("message" "rfc822" NIL NIL NIL "7bit" ' in shape and '"Lunch"' in shape
    assert b"Hello" in dovecot.fetch("whole", "(BODY.PEEK[3.TEXT])")


def test_utf8(dovecot, ours):
    address = "b\u00fc@b\u00fccher.example"
    shape, status = read(dovecot, "utf8", Case(ours, [rcpt(address.encode())], utf8=1))
    assert '("message" "global-delivery-status" NIL NIL NIL "8bit" ' in shape
    assert f"Final-Recipient: utf-8; {address}\r\n".encode() in status


def test_quoted(dovecot, ours):
    """A header that cannot travel as it is, and words of the remote that look like our frame."""
    case = Case(ours, [rcpt(text=b"--=_0123456789abcdef.0--\n\n--=_0123456789abcdef.0")],
                original=b"Subject: \xff \x1b[2J" + b"x" * 2000 + b"\r\n" + MAIL)
    shape, status = read(dovecot, "quoted", case)
    assert '("text" "rfc822-headers" ("charset" "us-ascii") NIL NIL "quoted-printable" ' in shape
    assert status.count(b"Action: ") == 1
    assert b"\xff \x1b[2Jxxx" in dovecot.fetch("quoted", "(BINARY.PEEK[3])")


def test_10000(dovecot, ours):
    _, status = read(dovecot, "many",
                     Case(ours, [rcpt(b"r%d@dest.example" % i) for i in range(10000)]))
    assert status.count(b"\r\nAction: failed\r\n") == 10000

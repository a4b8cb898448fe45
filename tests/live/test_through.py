"""`listen milter ... through libmilter`: the second front, in a process of its own.

What it answers is what our own engine answers for the same mail, byte by byte. Its process belongs
to the listener: reloads hand it on, signals do not stop it, and when it or a session process is
killed the MTA puts that mail off and goes on with the next.
"""
import concurrent.futures
import os
import signal
import stat
import struct

import pytest

from lab import milter_client as milter, proc, smtp
from lab.postfix import Postfix

GATE, CLIENT = "192.0.2.44", "192.0.2.70"
PORT, OWN_PORT = 8891, 8892
CONFIG = """\
hostname "mx.example.com"
resolver "192.0.2.53:53" trust "trust.key"
listen milter on "inet:{port}@{gate}" outbound authenticated {through}
domain "example.com"
send smarthost "192.0.2.45:25"
inbound {{
    reject with "550 5.7.1 no such thing, by 100%" if sender is "refused@sender.example"
    reject with "550 5.1.1 nobody" if recipient is "nobody@example.com"
    defer with "451 4.7.1 later" if header "Subject" contains "later"
    discard if header "Subject" contains "void"
    redirect to "other@example.com" if header "Subject" contains "redirect"
    quarantine "odd" if header "Subject" contains "odd"
    remove header "X-Old"
    tag "X-Checked: {word}"
    accept
}}
outbound {{
    reject with "550 5.7.1 not as you" if sender is "refused@sender.example"
    accept
}}
"""


def config(through=True, port=PORT, word="yes"):
    return CONFIG.format(port=port, gate=GATE, word=word,
                         through="through libmilter" if through else "")


def library(gate):
    """The processes of libmilter."""
    return [pid for pid, name in gate.processes().items() if name == "postern-milter"]


def sessions(gate):
    return [pid for pid, name in gate.processes().items() if name.startswith("session")]


def goes_on(answer):
    """Said, or not waited for."""
    return answer is None or answer.verdict == "continue"


def opened(port=PORT, version=6, steps=None, actions=None):
    mta = milter.Mta(GATE, port)
    assert mta.negotiate(version, actions, steps), "no negotiation"
    assert goes_on(mta.connect("mail.sender.example", CLIENT))
    assert goes_on(mta.helo("mail.sender.example"))
    return mta


def message(subject="hello", **headers):
    return smtp.message(subject, x_old="1", **headers)


def send(mta, sender="alice@sender.example", recipients=("bob@example.com",), subject="hello",
         body="Hello.\r\n", macros=None):
    mail = message(subject, body=body)
    return mta.mail(sender, recipients, mail, macros=macros), mail


def taken(outcome):
    return outcome.end is not None and outcome.end.verdict in ("continue", "accept")


@pytest.fixture
def gate(gateway):
    return gateway(config())


def test_a_mail_and_its_edits(gate):
    with opened() as mta:
        outcome, mail = send(mta)
        assert taken(outcome)
        got = milter.edited(outcome, mail, mta.agreed.steps & milter.HEADER_SPACE)
        assert b"\r\nX-Checked: yes\r\n" in b"\r\n" + got and b"X-Old" not in got
        assert got.endswith(b"\r\n\r\nHello.\r\n")
        outcome, mail = send(mta, subject="redirect")
        assert milter.envelope(outcome, ["bob@example.com"]) == ["other@example.com"]


def said(port, version, steps):
    """All that one front says of a row of mails, as the client of the MTA would hear it."""
    found = []
    with opened(port, version, steps) as mta:
        space = bool(mta.agreed.steps & milter.HEADER_SPACE)
        # A stage without macros is none to libmilter.
        found.append((mta.agreed.version, mta.agreed.actions,
                      sorted(m for m in mta.agreed.macros.items() if m[1])))
        for sender, recipients, subject, body in [
                ("alice@sender.example", ["bob@example.com"], "hello", "Hello.\r\n"),
                ("refused@sender.example", ["bob@example.com"], "hello", "Hello.\r\n"),
                ("alice@sender.example", ["nobody@example.com", "bob@example.com"], "two", "x\r\n"),
                ("alice@sender.example", ["nobody@example.com"], "none", "x\r\n"),
                ("", ["bob@example.com"], "later", "Hello.\r\n"),
                ("alice@sender.example", ["bob@example.com"], "void", "Hello.\r\n"),
                ("alice@sender.example", ["bob@example.com"], "odd", "Hello.\r\n"),
                ("alice@sender.example", ["bob@example.com"], "redirect", "y" * 200_000 + "\r\n"),
                ("alice@sender.example", ["bob@example.com"], "", "")]:
            mail = smtp.message(subject, x_old="1\r\n\tand more", body=body)
            outcome = mta.mail(sender, recipients, mail)
            got = milter.edited(outcome, mail, space)
            found.append((repr(outcome.sender), [repr(r) for r in outcome.recipients],
                          repr(outcome.last), milter.envelope(outcome, recipients),
                          [data for letter, data in outcome.edits if letter == "q"],
                          [line for line in got.split(b"\r\n\r\n")[0].split(b"\r\n")
                           if not line.startswith((b"Message-ID", b"Date"))]))
        mta.abort()
        mta.quit()
    return found


@pytest.mark.parametrize("version, steps", [(6, None), (2, None), (4, None), (6, 0x7f),
                                            (6, milter.OFFERS[6] | milter.DATA_1M)])
def test_both_fronts_say_the_same(gateway, version, steps):
    listener = f'listen milter on "inet:{OWN_PORT}@{GATE}" outbound authenticated\n'
    text = config().replace("domain", listener + "domain", 1)
    gateway(text)
    theirs, ours = said(PORT, version, steps), said(OWN_PORT, version, steps)
    for one, other in zip(theirs, ours):
        assert one == other


def test_outbound_by_the_macro(gate):
    with opened() as mta:
        ann = {"M": {"{auth_authen}": "ann", "i": "4F1"}}
        assert taken(send(mta, macros=ann)[0])
        # The library keeps no macro from one mail for the next.
        assert not taken(send(mta, recipients=["x@elsewhere.example"],
                              sender="refused@sender.example", macros=ann)[0])
        assert taken(send(mta)[0])
    assert gate.wait_event("mail", direction="outbound")


def test_many_sessions(gate):
    """More than the library has threads at first, interleaved; nothing is mixed up."""
    def one(number):
        with opened() as mta:
            for mail in range(3):
                subject = "later" if (number + mail) % 3 == 0 else f"hello {number}"
                outcome, _ = send(mta, subject=subject)
                if (subject == "later") != (outcome.last.code == 451):
                    return f"{number}: {outcome}"
        return None
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        wrong = [w for w in pool.map(one, range(80)) if w]
    assert not wrong
    assert len({e["session"] for e in gate.events("mail")}) == 80


def test_nonsense(gate):
    """Bytes that are no milter protocol end their connection, and nothing else."""
    for data in (b"\0\0\0\0", b"\xff\xff\xff\xffO", b"GET / HTTP/1.0\r\n\r\n",
                 struct.pack(">I", 13) + b"O" + b"\0" * 12, b"\0\0\0\1E"):
        with milter.Mta(GATE, PORT, timeout=5) as mta:
            mta.sock.sendall(data)
            try:
                mta.sock.shutdown(1)
            except OSError:  # it has ended already
                continue
            assert mta.receive() == ("", b"")
    with milter.Mta(GATE, PORT) as mta:
        assert mta.negotiate(actions=milter.ADD_HEADERS) is None
    assert gate.wait_event("protocol")
    with opened() as mta:
        assert taken(send(mta)[0])
    assert not gate.events("child-exit")


def test_reload_while_a_session_is_open(gate):
    """The process stays, the session keeps its rules, a new one has the new rules."""
    before, old = library(gate), sessions(gate)
    with opened() as mta:
        assert taken(send(mta)[0])
        assert goes_on(mta.sender("alice@sender.example"))
        gate.write(config(word="new"))
        gate.reload()
        gate.wait_event("reload", generation="2")
        assert library(gate) == before
        mta.abort()
        mail = message()
        with opened() as other:
            got = milter.edited(other.mail("a@sender.example", ["bob@example.com"], mail), mail,
                                True)
            assert b"X-Checked: new" in got
    proc.wait_until(lambda: not set(old) & set(sessions(gate)), "the end of the old sessions", 20)
    with opened() as mta:
        assert taken(send(mta)[0])
    assert library(gate) == before and not gate.events("child-exit")


def test_listeners_come_and_go(gate):
    """A listener that goes takes its process with it; one that comes brings one."""
    before = library(gate)
    gate.write(config(port=OWN_PORT))
    gate.reload()
    gate.wait_event("reload", generation="2")
    proc.wait_until(lambda: library(gate) and not set(before) & set(library(gate)),
                    "the end of the process whose listener went", 20)
    with opened(OWN_PORT) as mta:
        assert taken(send(mta)[0])
    with pytest.raises(OSError):
        milter.Mta(GATE, PORT)
    gate.write(config())
    gate.reload()
    gate.wait_event("reload", generation="3")
    with opened() as mta:
        assert taken(send(mta)[0])
    assert not gate.events("child-exit")


def test_signals_do_not_stop_it(gate):
    (pid,) = library(gate)
    for number in (signal.SIGHUP, signal.SIGINT):
        gate.kill(pid, number)
    with opened() as mta:
        assert taken(send(mta)[0])
    assert library(gate) == [pid]


def test_session_process_killed(gate):
    """The mail under way is put off, so is what follows in that session; others go on."""
    with opened() as mta:
        assert goes_on(mta.sender("alice@sender.example"))
        for pid in sessions(gate):
            gate.kill(pid)
        assert mta.recipient("bob@example.com").verdict == "tempfail"
        mta.abort()
        mta.sender("alice@sender.example")
        assert mta.recipient("bob@example.com").verdict == "tempfail"

    def again():
        with milter.Mta(GATE, PORT) as other:
            if not other.negotiate():
                return False
            other.connect("mail.sender.example", CLIENT)
            return taken(send(other)[0])
    proc.wait_until(again, "a mail after the session processes were started again", 15, 0.1)


def test_library_killed(gate):
    """The MTA loses its milter for a moment; session processes lose nothing else."""
    (pid,) = library(gate)
    kept = sessions(gate)
    with opened() as mta:
        mta.sender("alice@sender.example")
        gate.kill(pid)
        assert mta.recipient("bob@example.com").verdict == "closed"
    gate.wait_event("child-exit", kind="milter", status="killed by SIGKILL")
    proc.wait_port(GATE, PORT)

    def again():
        with milter.Mta(GATE, PORT) as other:
            return other.negotiate() is not None
    proc.wait_until(again, "a session after the library was started again", 10, 0.05)
    with opened() as mta:
        assert taken(send(mta)[0])
    assert sessions(gate) == kept
    assert not gate.events("reload")


def test_unix_socket(gateway):
    path = proc.LAB / "milter-run/socket"
    path.parent.mkdir(exist_ok=True)
    path.parent.chmod(0o755)
    text = config().replace(f"inet:{PORT}@{GATE}", f"unix:{path}")
    for _ in range(2):  # the second time over the socket that the first has left
        gate = gateway(text)
        mode = path.stat()
        assert stat.S_ISSOCK(mode.st_mode) and mode.st_mode & 0o777 == 0o660
        assert mode.st_uid != 0 or os.geteuid() != 0
        with milter.Mta(path=path) as mta:
            assert mta.negotiate()
            assert goes_on(mta.connect("localhost", "/some/socket"))
            assert taken(send(mta)[0])
        gate.stop()


def test_limit_of_connections(gateway):
    gateway(config() + "limits {\n    connections 2\n    per client 2\n}\n")
    with opened() as one, opened() as two:
        with milter.Mta(GATE, PORT) as three:
            assert three.negotiate() is None
        assert taken(send(one)[0]) and taken(send(two)[0])

    def again():
        with milter.Mta(GATE, PORT) as other:
            return other.negotiate() is not None
    proc.wait_until(again, "room for another session", 5, 0.05)


MILTERTEST = """
conn = mt.connect("inet:%d@%s")
if conn == nil then error "connect" end
if mt.conninfo(conn, "mail.sender.example", "%s") ~= nil then error "conninfo" end
mt.macro(conn, SMFIC_MAIL, "i", "4F1")
if mt.mailfrom(conn, "<alice@sender.example>") ~= nil then error "mailfrom" end
if mt.rcptto(conn, "<bob@example.com>") ~= nil then error "rcptto" end
mt.header(conn, "From", " alice@sender.example")
mt.header(conn, "Date", " Sun, 22 Nov 2026 12:00:00 +0000")
mt.header(conn, "X-Old", " 1")
if mt.eom(conn) ~= nil then error "eom" end
if mt.getreply(conn) ~= SMFIR_CONTINUE then error "the answer" end
if not mt.eom_check(conn, MT_HDRINSERT, "X-Checked") then error "X-Checked" end
if not mt.eom_check(conn, MT_HDRDELETE, "X-Old") then error "X-Old" end
mt.disconnect(conn)
"""


def test_by_the_libraries_own_tester(gate, tmp_path):
    """Debian's miltertest, which comes with another library's idea of an MTA."""
    script = tmp_path / "milter.lua"
    script.write_text(MILTERTEST % (PORT, GATE, CLIENT))
    proc.run("miltertest", "-vv", "-s", script)
    assert gate.wait_event("mail", sender="alice@sender.example")


@pytest.fixture
def postfix():
    server = Postfix("through", "198.51.100.44", domains=["example.com"], main={
        "smtpd_milters": f"inet:{GATE}:{PORT}", "milter_default_action": "tempfail",
        "milter_connect_timeout": "5s"}).start()
    yield server
    server.stop()


def test_inside_postfix(gate, postfix):
    """A real MTA: taken, edited, refused with our words, and put off while the process is gone."""
    def mail(sender="alice@sender.example", subject="hello"):
        with smtp.Client("198.51.100.44", timeout=30) as client:
            return client.mail(sender, ["bob@example.com"], message(subject)).last
    assert mail().code == 250
    assert "no such thing, by 100%" in repr(mail("refused@sender.example"))
    assert mail(subject="later").code == 451
    got = proc.wait_until(postfix.mails, "the mail that Postfix delivered")
    assert len(got) == 1 and got[0]["X-Checked"] == "yes" and got[0]["X-Old"] is None
    gate.reload()
    gate.wait_event("reload", generation="2")
    assert mail().code == 250
    (pid,) = library(gate)
    gate.kill(pid, signal.SIGSTOP)
    gate.kill(pid)
    assert mail().code in (250, 451)
    proc.wait_until(lambda: mail().code == 250, "a mail after the library was started again", 20)

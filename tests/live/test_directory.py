"""Tables that a directory or database holds: OpenLDAP, PostgreSQL and SQLite as they are.

Recipients known and unknown, rules with `in`, hostile values, caches, servers that are dead, slow
or untrusted: what cannot be known is put off with 451, and no other mail waits for it.
"""
import sqlite3
import threading
import time

import pytest

from lab import proc, smtp
from lab.directory import BIND, PASSWORD, SUFFIX, PostgreSQL, Slapd

GATE, SERVER, CLIENT = "192.0.2.47", "198.51.100.47", "192.0.2.77"
LDAP, SQL = "198.51.100.30", "198.51.100.31"
SENDER = "alice@sender.example"
KINDS = ("ldap", "sql", "lite")
LOCALS = ["bob", "o'brien", "plus", "two"]
TIMEOUT_S = 2
CONFIG = f"""\
hostname "mx.example.com"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "{GATE}:25"
table ldap ldap "ldap://ldap.directory.example/ou=people,{SUFFIX}" filter "(mail=%s)" \\
    bind "{BIND}" password "directory.password" tls required
table sql sql "postgresql://postern@{SQL}/mail" query "SELECT 1 FROM people WHERE mail = $1" \\
    password "directory.password"
table lite sql "sqlite:LITE" query "SELECT 1 FROM people WHERE mail = ?1"
table senders sql "sqlite:LITE" query "SELECT 1 FROM senders WHERE mail = ?1"
filter directory {{ timeout {TIMEOUT_S}s  cache 5m  connections 2 }}
domain "ldap.example" deliver to "{SERVER}:25" recipients table ldap
domain "sql.example" deliver to "{SERVER}:25" recipients table sql
domain "lite.example" deliver to "{SERVER}:25" recipients table lite
domain "any.example" deliver to "{SERVER}:25"
inbound {{
    reject with "550 5.7.1 not from you" if sender in senders
    reject if sender.domain is "ask.example" and recipient not in ldap
    reject if recipient is not known
    accept
}}
"""


def mails(kind):
    return [f"{local}@{kind}.example" for local in LOCALS] + \
        [f"more{n}@{kind}.example" for n in range(40)]


@pytest.fixture(scope="module")
def names(nsd):
    nsd.set({"directory.example": f"ldap A {LDAP}\nother A {LDAP}\n"})
    nsd.restart()


@pytest.fixture(scope="module")
def slapd(authority, names):
    authority.trust()
    server = Slapd(LDAP, mails("ldap"), *authority.issue("ldap.directory.example")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def postgresql():
    server = PostgreSQL(SQL, [m.replace("'", "''") for m in mails("sql")]).start()
    yield server
    server.stop()


def write_lite(path):
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE people (mail TEXT PRIMARY KEY)")
        db.execute("CREATE TABLE senders (mail TEXT PRIMARY KEY)")
        db.executemany("INSERT INTO people VALUES (?)", [(m,) for m in mails("lite")])
        db.execute("INSERT INTO senders VALUES ('spammer@sender.example')")
    db.close()
    path.chmod(0o644)


@pytest.fixture(scope="module")
def lite():
    folder = proc.LAB / "lite"
    folder.mkdir()
    folder.chmod(0o755)
    write_lite(folder / "people.db")
    return folder / "people.db"


@pytest.fixture(scope="module")
def servers(slapd, postgresql):
    return {"ldap": slapd, "sql": postgresql}


@pytest.fixture(scope="module")
def sink():
    with smtp.Server(SERVER) as server:
        yield server


@pytest.fixture
def gate(gateway, servers, lite, sink):
    return gateway(CONFIG.replace("LITE", str(lite)), {"directory.password": PASSWORD + "\n"})


def rcpt(recipient, sender=SENDER):
    """The reply to RCPT TO alone."""
    with smtp.Client(GATE, source=CLIENT) as client:
        client.command("EHLO client.example")
        assert client.command(f"MAIL FROM:<{sender}> SMTPUTF8").code == 250
        return client.command(f"RCPT TO:<{recipient}>")


@pytest.mark.parametrize("kind", KINDS)
def test_known_and_unknown(gate, sink, kind):
    for local, code in [("bob", 250), ("BOB", 250), ("bob+detail", 250), ("o'brien", 250),
                        ("nobody", 550), ("bo", 550), ("bob2", 550)]:
        answer = rcpt(f"{local}@{kind}.example")
        assert answer.code == code, (local, answer)
    with smtp.Client(GATE, source=CLIENT) as client:
        said = client.mail(SENDER, [f"bob@{kind}.example"], smtp.message("to bob"))
    assert said.dot.code == 250
    assert sink.mails[-1].recipients == [f"bob@{kind}.example"]
    assert not gate.events("fact-failed")


HOSTILE = ["*", '"*"', '"*)(uid=*"', '"*)(|(mail=*"', '"bob)(mail=*"', '"\\\\2a"', '"(mail=bob"',
           "bob'--", "'", "''", '"\'; DROP TABLE people; --"', '"\' OR \'1\'=\'1"', '"$1"', '"?1"',
           "%s", "%25s", '"$$bob$$"', '"bob\\" OR 1=1"', "b%b", "b_b", '"bo?"', "é*", '"bob{}"',
           '"&|!"']


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_values_are_values(gate, servers, kind):
    """Never a part of the filter or query: they find nothing, break nothing, fail nothing."""
    for local in HOSTILE:
        answer = rcpt(f"{local}@{kind}.example")
        assert answer.code == 550, (local, answer)
    assert not gate.events("fact-failed")
    assert not gate.events("directory-down")
    assert rcpt(f"bob@{kind}.example").code == 250
    if kind == "sql":
        assert int(servers["sql"].sql("SELECT count(*) FROM people")) == len(mails("sql"))
        asked = "\n".join(servers["sql"].questions())
        assert "''; drop table people; --" in asked  # a quote is doubled in the log alone


def test_rules_ask_too(gate):
    """`in` and `not in` with senders and recipients; <> is in no table, and nobody is asked."""
    answer = rcpt("x@any.example", sender="spammer@sender.example")
    assert (answer.code, answer.enhanced) == (550, "5.7.1")
    assert rcpt("x@any.example", sender="friend@sender.example").code == 250
    assert rcpt("x@any.example", sender="").code == 250
    assert rcpt("x@any.example", sender="a@ask.example").code == 550
    assert rcpt("bob@ldap.example", sender="a@ask.example").code == 250


@pytest.mark.parametrize("kind", ["ldap", "sql"])
def test_answers_are_kept(gate, servers, kind):
    """Found or not: asked once, however many mails come, and once where they come together."""
    server = servers[kind]
    known, unknown = f"more7@{kind}.example", f"nobody7@{kind}.example"

    def count(address):
        return sum(address in one for one in server.questions())
    before = count(known), count(unknown)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(rcpt(known).code))
               for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [250] * 10
    for _ in range(5):
        assert rcpt(known).code == 250
        assert rcpt(unknown).code == 550
    assert (count(known) - before[0], count(unknown) - before[1]) == (1, 1)


@pytest.mark.parametrize("kind", ["ldap", "sql"])
def test_a_dead_server_puts_off_and_comes_back(gate, servers, kind):
    """451 while it is away, what is kept is still known; at once again when it is back."""
    server = servers[kind]
    assert rcpt(f"bob@{kind}.example").code == 250
    server.stop()
    try:
        answer = rcpt(f"two@{kind}.example")
        assert answer.code == 451, answer
        assert gate.wait_event("directory-down", table=kind)["error"]
        assert rcpt(f"bob@{kind}.example").code == 250
        began = time.monotonic()
        assert rcpt(f"plus@{kind}.example").code == 451
        assert time.monotonic() - began < 1
        assert rcpt("two@lite.example").code == 250
    finally:
        server.start()
    proc.wait_until(lambda: rcpt(f"two@{kind}.example").code == 250, "the server again", 20, 0.2)
    assert gate.wait_event("directory-up", table=kind)


@pytest.mark.parametrize("kind", ["ldap", "sql"])
def test_a_slow_server_holds_up_its_own_mails_only(gate, servers, kind):
    """It is stopped in its tracks: 451 in its time, and all other mails flow meanwhile."""
    server = servers[kind]
    other = "sql" if kind == "ldap" else "ldap"
    assert rcpt(f"more1@{kind}.example").code == 250
    server.freeze()
    try:
        found = []
        began = time.monotonic()
        slow = threading.Thread(target=lambda: found.append(
            (rcpt(f"more2@{kind}.example"), time.monotonic() - began)))
        slow.start()
        for number in range(20):
            at = time.monotonic()
            assert rcpt(f"more{number}@lite.example").code == 250
            assert rcpt(f"more{number}@{other}.example").code == 250
            assert time.monotonic() - at < 1.5
        slow.join()
        answer, took = found[0]
        assert answer.code == 451, answer
        assert TIMEOUT_S - 0.5 < took < TIMEOUT_S + 3
        assert "time" in gate.wait_event("directory-down", table=kind)["error"]
    finally:
        server.wake()
    proc.wait_until(lambda: rcpt(f"more2@{kind}.example").code == 250, "the server again", 20, 0.2)


def test_connections_that_the_server_closed_are_no_failure(gate, servers):
    """Restarted between two mails: the second one is asked over a new connection."""
    for kind, server in servers.items():
        assert rcpt(f"more11@{kind}.example").code == 250
        server.stop()
        server.start()
        assert rcpt(f"more12@{kind}.example").code == 250, kind
    assert not gate.events("fact-failed")


def test_a_database_that_is_replaced(gate, lite):
    """Written aside and renamed: the next look-up reads the new file; without one it fails."""
    assert rcpt("new@lite.example").code == 550
    fresh = lite.with_name("fresh.db")
    write_lite(fresh)
    with sqlite3.connect(fresh) as db:
        db.execute("INSERT INTO people VALUES ('newer@lite.example')")
    db.close()
    fresh.chmod(0o644)
    fresh.rename(lite)
    assert rcpt("newer@lite.example").code == 250
    broken = lite.with_name("broken.db")
    broken.write_bytes(b"this is no database" * 100)
    broken.chmod(0o644)
    broken.rename(lite)
    assert rcpt("other@lite.example").code == 451
    write_lite(fresh)
    fresh.rename(lite)
    proc.wait_until(lambda: rcpt("plus@lite.example").code == 250, "the database again", 15, 0.2)


def test_a_certificate_for_another_name_is_no_directory(gateway, servers, lite, sink):
    """`tls required` and ldaps:// verify the name: else the password would go to anybody."""
    for url, tls in [("ldap://other.directory.example", " tls required"),
                     ("ldaps://other.directory.example", "")]:
        text = CONFIG.replace("LITE", str(lite)).replace(
            "ldap://ldap.directory.example", url)
        if not tls:
            text = text.replace('password "directory.password" tls required',
                                'password "directory.password"')
        gate = gateway(text, {"directory.password": PASSWORD + "\n"})
        assert rcpt("bob@ldap.example").code == 451
        assert "certificate" in gate.wait_event("directory-down", table="ldap")["error"].lower()
        gate.stop()


def test_ldaps(gateway, servers, lite, sink):
    text = CONFIG.replace("LITE", str(lite)).replace("ldap://ldap", "ldaps://ldap").replace(
        'password "directory.password" tls required', 'password "directory.password"')
    gateway(text, {"directory.password": PASSWORD + "\n"})
    assert rcpt("bob@ldap.example").code == 250
    assert rcpt("nobody@ldap.example").code == 550


def test_a_wrong_password_is_said(gateway, servers, lite, sink):
    gate = gateway(CONFIG.replace("LITE", str(lite)), {"directory.password": "wrong\n"})
    for kind, word in [("ldap", "credentials"), ("sql", "password")]:
        assert rcpt(f"bob@{kind}.example").code == 451
        error = gate.wait_event("directory-down", table=kind)["error"]
        assert word in error and "wrong" not in error


def test_a_query_cannot_write(gateway, postgresql, servers, lite, sink):
    """Not even by a function: PostgreSQL's session is read-only, and what fails is put off."""
    postgresql.sql("CREATE OR REPLACE FUNCTION bump(text) RETURNS int LANGUAGE sql AS "
                   "'INSERT INTO people VALUES ($1 || ''.bumped'') RETURNING 1'; "
                   "GRANT INSERT ON people TO postern")
    gate = gateway(CONFIG.replace("LITE", str(lite)).replace(
        "SELECT 1 FROM people WHERE mail = $1", "SELECT bump($1)"),
        {"directory.password": PASSWORD + "\n"})
    assert rcpt("bob@sql.example").code == 451
    assert "read-only" in gate.wait_event("fact-failed")["error"]
    assert not postgresql.sql("SELECT 1 FROM people WHERE mail LIKE '%bumped'")


def test_on_failure_skip(gateway, servers, lite, sink):
    """A rule whose directory is dead is passed over where the administrator says so."""
    text = CONFIG.replace("LITE", str(lite)).replace(
        "connections 2", "connections 2  on failure skip").replace(
        "ldap://ldap.directory.example", "ldap://192.0.2.99")
    gate = gateway(text, {"directory.password": PASSWORD + "\n"})
    assert rcpt("x@any.example", sender="a@ask.example").code == 250
    assert gate.events("fact-failed")


def test_the_process_is_killed(gate, servers):
    """Open look-ups fail, the next one is answered by the process that follows."""
    assert rcpt("bob@sql.example").code == 250
    pid = next(p for p, name in gate.processes().items() if "directory" in name)
    gate.kill(pid)
    proc.wait_until(lambda: rcpt("bob@ldap.example").code == 250, "another process", 20, 0.2)
    assert gate.events("child-exit", kind="directory")

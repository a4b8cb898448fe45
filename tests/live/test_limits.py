"""Limits and greylisting with real clients, against the keeper's counters: the boundary of a limit,
several windows, recipients, what goes back when a mail is refused, a reload, kill -9 of sessions and
of the keeper; and senders that come again: Postfix, another machine of a network, another network
that SPF vouches for, a network that is known.
"""
import signal
import time

import pytest

from lab import proc, smtp
from lab.postfix import Postfix

pytestmark = pytest.mark.slow
GATE, GATE6, OWN = "192.0.2.180", "2001:db8::180", "198.51.100.180"
POSTFIX = "192.0.2.181"
CLIENT = "192.0.2.77"
DELAY_S = 2
GREY = ("grey.example", "spf.example", "net.example", "p1.example", "p2.example", "p3.example",
        "p4.example")
ZONES = {
    "own.example": f"@ MX 10 mx\nmx A {GATE}\n",
    "spf.example": '@ TXT "v=spf1 ip6:2001:db8:1::/48 ip6:2001:db8:2::/48 -all"\n',
    **{name: '@ TXT "v=spf1 ?all"\n' for name in GREY if name != "spf.example"},
}
CONFIG = f"""\
hostname "mx.own.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{{spool}}"
listen inbound on "{GATE}:25"
listen inbound on "[{GATE6}]:25"
domain "own.example" deliver to "{OWN}:25"
filter greylist {{{{ delay {DELAY_S}s retry within 1h passers 3 }}}}
limits {{{{ recipients 100 }}}}
inbound {{{{
    reject if recipient is "no@own.example"
    defer if sender is "hour@sender.example" and rate sender > 200/hour
    defer if sender is "two@sender.example" and (rate sender > 3/day or quota sender > 5/month)
    defer if sender is "windows@sender.example" and rate sender > 2/second
    defer if sender is "windows@sender.example" and quota sender > 4/month
    defer if sender is "many@sender.example" and rate sender > 5 recipients/day
    defer if sender is "back@sender.example" and rate sender > 3/day
    defer if sender is "again@sender.example" and quota sender > {{again}}/month
    defer if sender.domain in {{{{ {", ".join(f'"{name}"' for name in GREY)} }}}} and greylisted
    reject if subject is "bad"
    accept
}}}}
"""


@pytest.fixture(scope="module")
def zones(nsd):
    nsd.set(ZONES)
    nsd.restart()


@pytest.fixture(scope="module")
def own(zones):
    with smtp.Server(OWN, script={"dot": lambda mail, _: "451 4.3.0 later" if b"Subject: later"
                                  in mail.data else "250 2.0.0 ok"}) as server:
        yield server


def configured(tmp_path, again=5):
    return CONFIG.format(spool=proc.LAB / f"limits-{tmp_path.name}", again=again)


@pytest.fixture
def gate(gateway, own, tmp_path):
    return gateway(configured(tmp_path))


def pids(gate, kind):
    return [pid for pid, name in gate.processes().items() if name.startswith(kind)]


def kill(gate, kind):
    """kill -9 of each process of the kind; others have come in their place."""
    old = pids(gate, kind)
    assert old, gate.processes()
    for pid in old:
        gate.kill(pid, signal.SIGKILL)
    proc.wait_until(lambda: len(pids(gate, kind)) >= len(old) and
                    not set(old) & set(pids(gate, kind)), f"new processes {kind}", 15)


def send(sender, recipients=("bob@own.example",), subject="hello", source=CLIENT, host=GATE):
    with smtp.Client(host, source=source) as client:
        return client.mail(sender, recipients, smtp.message(subject, sender, recipients[0]))


def passes(sender):
    """A session that the old generation still took may end in its midst."""
    try:
        return send(sender).last.code == 250
    except OSError:
        return False


def codes(sender, n, **more):
    return [send(sender, **more).last.code for _ in range(n)]


# ---- limits

def test_boundary(gate):
    """200 an hour are 200, the next one hears which limit and when; one comes back each 18 s."""
    began = time.monotonic()
    with smtp.Client(GATE, source=CLIENT) as client:
        client.command("EHLO client.example")
        message = smtp.message("hello", "hour@sender.example", "bob@own.example")
        said = [client.mail("hour@sender.example", ["bob@own.example"], message, helo=None)
                for _ in range(200)]
        assert {s.last.code for s in said} == {250}, said
        refilled = int((time.monotonic() - began) // 18)
        for _ in range(refilled):
            client.mail("hour@sender.example", ["bob@own.example"], message, helo=None)
            client.command("RSET")
        over = client.mail("hour@sender.example", ["bob@own.example"], message, helo=None)
    assert over.last.code == 450 and over.last.enhanced == "4.7.1", over
    assert "Limit of 200 mails per hour for this sender is used up, try again in" in str(over.last)
    by_swaks = proc.run("swaks", "--server", GATE, "--local-interface", CLIENT, "--from",
                        "hour@sender.example", "--to", "bob@own.example", check=False)
    assert by_swaks.returncode != 0 and "450 4.7.1 Limit of 200 mails per hour" in by_swaks.stdout


def test_windows(gate):
    """Several windows at once: the first that is used up decides, each counts for itself."""
    assert codes("two@sender.example", 4) == [250, 250, 250, 450]
    for _ in range(2):
        assert codes("windows@sender.example", 2) == [250, 250]
        time.sleep(1.1)
    over = send("windows@sender.example")
    assert "Limit of 4 mails per month for this sender" in str(over.last), over


def test_recipients(gate):
    """Each accepted recipient counts; the one too many hears it, the others get their mail."""
    said = send("many@sender.example", [f"r{n}@own.example" for n in range(4)])
    assert said.last.code == 250, said
    said = send("many@sender.example", ["no@own.example", "x@own.example", "y@own.example"])
    assert [r.code for r in said.recipients] == [550, 250, 450], said
    assert "Limit of 5 recipients per day for this sender" in str(said.recipients[2])
    assert said.dot.code == 250


def test_given_back(gate):
    """A mail that is refused, put off by its server, or given up by its client was not counted."""
    assert codes("back@sender.example", 5, subject="bad") == [550] * 5
    assert codes("back@sender.example", 2, subject="later") == [451] * 2
    for _ in range(5):
        with smtp.Client(GATE, source=CLIENT) as client:
            client.command("EHLO client.example")
            client.command("MAIL FROM:<back@sender.example>")
            assert client.command("RCPT TO:<bob@own.example>").code == 250
    proc.wait_until(lambda: len(gate.events("close")) >= 12, "the end of all sessions")
    time.sleep(0.3)
    assert codes("back@sender.example", 4) == [250, 250, 250, 450]


@pytest.mark.parametrize("how", ["reload", "session", "keeper", "restart"])
def test_counters_survive(gate, how):
    """A reload and kill -9 of the sessions or the keeper, more than a second after the last one."""
    assert codes("again@sender.example", 3) == [250] * 3
    time.sleep(2.5)
    if how == "reload":
        before = len(gate.events("ready"))
        gate.reload()
        proc.wait_until(lambda: len(gate.events("ready")) > before or gate.events("reload"),
                        "a reload", 20)
        time.sleep(0.5)
    elif how == "restart":
        gate.stop()
        gate.start()
        proc.wait_port(GATE, 25)
    else:
        kill(gate, how)
    proc.wait_until(lambda: passes("free@sender.example"), "service again", 20)
    time.sleep(1.0)
    assert codes("again@sender.example", 3) == [250, 250, 450]


def test_another_limit_begins_anew(gate, tmp_path):
    assert codes("again@sender.example", 6) == [250] * 5 + [450]
    gate.write(configured(tmp_path, again=7))
    gate.reload()
    proc.wait_until(lambda: passes("again@sender.example"), "the new limit", 20)
    assert 450 in codes("again@sender.example", 7)


def test_keeper_dies(gate):
    """No keeper, no answer: the mail waits at its sender, and is not counted."""
    stopped = pids(gate, "keeper")
    for pid in stopped:
        gate.kill(pid, signal.SIGSTOP)
    said = send("again@sender.example")
    assert said.last.code == 451 and "quota" in str(said.last), said
    for pid in stopped:
        gate.kill(pid, signal.SIGCONT)
    proc.wait_until(lambda: passes("free@sender.example"), "service again", 20)
    time.sleep(0.5)
    assert codes("again@sender.example", 6) == [250] * 5 + [450]


# ---- greylisting

@pytest.fixture
def mta(gate):
    one = Postfix("greylisted", POSTFIX, relayhost=f"[{GATE}]:25", networks=["192.0.2.0/24"])
    yield one.start()
    one.stop()


def put_off(said):
    assert said.last.code == 450, said
    assert "This sender is not known here yet, try again in" in str(said.last), said


def passed(said):
    assert said.last.code == 250, said


def test_greylist_postfix(gate, own, mta):
    """A real MTA comes again when it is due, and its next mail passes at once."""
    for subject in ("first by postfix", "second by postfix"):
        mta.send("ann@grey.example", ["bob@own.example"],
                 smtp.message(subject, "ann@grey.example", "bob@own.example"))
        proc.wait_until(lambda s=subject: [m for m in list(own.mails) if s.encode() in m.data],
                        subject, 30)
    refused = gate.events("reject", sender="ann@grey.example") + \
        gate.events("defer", sender="ann@grey.example")
    assert refused, gate.log()[-2000:]
    assert all("known here yet" in r["reply"] for r in refused)
    last = max(i for i, e in enumerate(gate.events()) if e.get("event") in ("reject", "defer"))
    assert [e for e in gate.events()[last:] if e.get("event") == "mail"], "it passed, then passes"


def test_greylist_network(gate):
    """Too early is too early; another machine of the /64 may do the retry, a stranger may not."""
    put_off(send("ann@net.example", source="2001:db8:10::1", host=GATE6))
    put_off(send("eve@net.example", source="2001:db8:10::2", host=GATE6))
    time.sleep(DELAY_S + 0.5)
    put_off(send("ann@net.example", source="2001:db8:11::1", host=GATE6))
    passed(send("kim@net.example", source="2001:db8:10::ffff", host=GATE6))
    passed(send("ann@net.example", source="2001:db8:10::3", host=GATE6))


def test_greylist_spf(gate):
    """Where SPF passes the domain is what is known, from wherever it comes."""
    put_off(send("ann@spf.example", source="2001:db8:1::1", host=GATE6))
    time.sleep(DELAY_S + 0.5)
    put_off(send("ann@spf.example", source="2001:db8:77::1", host=GATE6))
    passed(send("ann@spf.example", source="2001:db8:2::1", host=GATE6))


def test_passers(gate):
    """A network from which three have passed is known, with senders that were never seen."""
    for name in ("p1", "p2", "p3"):
        put_off(send(f"a@{name}.example", source="2001:db8:20::1", host=GATE6))
    time.sleep(DELAY_S + 0.5)
    for name in ("p1", "p2", "p3"):
        passed(send(f"a@{name}.example", source="2001:db8:20::2", host=GATE6))
    time.sleep(0.5)
    passed(send("a@p4.example", source="2001:db8:20::3", host=GATE6))
    put_off(send("a@p4.example", source="2001:db8:21::3", host=GATE6))


def test_refused_has_not_passed(gate):
    """A mail that was refused makes nobody known: neither its sender nor its network."""
    for name in ("p1", "p2", "p3"):
        put_off(send(f"a@{name}.example", source="2001:db8:30::1", host=GATE6))
    time.sleep(DELAY_S + 0.5)
    for name in ("p1", "p2", "p3"):
        said = send(f"a@{name}.example", source="2001:db8:30::2", subject="bad", host=GATE6)
        assert said.last.code == 550, said
    time.sleep(0.5)
    put_off(send("a@p4.example", source="2001:db8:30::3", host=GATE6))

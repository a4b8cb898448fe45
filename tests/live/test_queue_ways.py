"""Which way a mail leaves when it does not simply go (OUT-01, OUT-03, OUT-05, OUT-09): smarthosts
and when they take over, routes, holds, the quarantine, inbound mail that must be kept, what is asked
at RCPT, limits of a destination, a blocked way out, a reload, and who hears of delay and success.

Remotes say what a recipient's local part asks for: "no" 550 and "later" 451 at RCPT, "grey" and
"listed" in the words that go with it, "mute" nothing to RCPT and "hush" nothing to the dot; the
last five until the remote is mended.
"""
import email
import re
import threading
import time

import pytest

from lab import dns, proc, smtp
from lab.spool import Spool

pytestmark = pytest.mark.slow
GATE, SUBMIT, OWN = "192.0.2.150", "192.0.2.151", "198.51.100.150"
FIRST, SECOND, SMART, ROUTED, LMTP = (f"198.51.100.{n}" for n in (151, 152, 153, 154, 155))
DEAD = "198.51.100.159"
RESOLVER = "192.0.2.54"
CLIENT, STRANGER = "192.0.2.77", "192.0.2.20"
SENDER = "ann@ours.example"
BUDGET_S = 4
FAR = 6
ZONES = {
    "ours.example": f"@ MX 10 mx\nmx A {GATE}\n",
    "ways.example": f"""\
        one MX 10 first
        two MX 10 second
        both MX 10 first
        both MX 10 second
        gone MX 10 dead
        plain MX 10 other
        other A {FIRST}
        broken MX 10 first
        slow MX 10 second
        first A {FIRST}
        second A {SECOND}
        dead A {DEAD}
        """,
    **{f"far{n}.example": f"@ MX 10 mx\nmx A 198.51.100.{160 + n}\n" for n in range(FAR)},
}
HEAD = f"""\
hostname "mx.ours.example"
resolver "{RESOLVER}:53" insecure
spool "{{spool}}"
listen inbound on "{GATE}:25"
listen outbound on "{SUBMIT}:25" from {{{{ 192.0.2.64/26 }}}}
domain "ours.example" deliver to "{OWN}:25"
queue {{{{ retry after 1s, up to 2s lifetime 5m delay notice 3s }}}}
"""
ALL = "inbound {{ accept }}\noutbound {{ accept }}\n"
DIRECT = f"send direct answer within {BUDGET_S}s per mail\n"


class Remote(smtp.Server):
    """A remote that says what the local part asks for."""

    WORDS = {
        "no": "550 5.1.1 Nobody of that name",
        "later": "451 4.3.2 Come again",
        "grey": "451 4.7.1 Greylisted, please come back in 5 minutes",
        "listed": "554 5.7.1 Service unavailable; client host [192.0.2.1] blocked using "
                  "zen.spamhaus.org",
    }

    def __init__(self, address, port=25, **more):
        self.mended, self.asked = threading.Event(), []
        super().__init__(address, port, script={"rcpt": self.rcpt, "dot": self.dot}, **more)

    def rcpt(self, recipient, _session):
        word = recipient.partition("@")[0].partition("-")[0]
        self.asked.append(recipient)
        if word == "mute":
            self.mended.wait(60)
        if word == "no" or (word in self.WORDS and not self.mended.is_set()):
            return self.WORDS[word]
        return None

    def dot(self, transaction, _session):
        if any(r.startswith("hush") for r in transaction.recipients):
            self.mended.wait(60)
        return f"250 2.0.0 {self.address} has it"

    def stop(self):
        self.mended.set()
        super().stop()

    def arrived(self):
        return sorted(r for m in list(self.mails) for r in m.recipients)


@pytest.fixture(scope="module")
def zones(nsd):
    nsd.set(ZONES)
    nsd.restart()


@pytest.fixture(scope="module")
def resolver(zones):
    server = dns.Misbehaving({("broken.ways.example", None): dns.Answer(rcode="SERVFAIL")},
                             address=RESOLVER).start()
    yield server
    server.stop()


@pytest.fixture
def remotes(resolver):
    """{name: Remote}: started for each test anew."""
    made = {"first": Remote(FIRST), "second": Remote(SECOND), "own": Remote(OWN),
            "smart": Remote(SMART, 587), "routed": Remote(ROUTED)}
    made["smart"].mended.set()
    for server in made.values():
        server.start()
    yield made
    for server in made.values():
        server.stop()


@pytest.fixture
def start(gateway, remotes, tmp_path):
    """start(rest of the configuration): the spool of a gateway that runs."""
    def run(rest, head=HEAD):
        return Spool(gateway((head + rest).format(spool=proc.LAB / f"ways-{tmp_path.name}")))
    return run


def send(recipients, sender=SENDER, host=SUBMIT, source=CLIENT, subject="hello", **params):
    """params: of RCPT, as notify="NEVER"."""
    tail = "".join(f" {k.upper()}={v}" for k, v in params.items())
    with smtp.Client(host, source=source, timeout=60) as client:
        if not tail:
            return client.mail(sender, recipients,
                               smtp.message(subject, sender, recipients[0]))
        said = smtp.Outcome()
        said.helo = client.command("EHLO client.example")
        said.sender = client.command(f"MAIL FROM:<{sender}>")
        said.recipients = [client.command(f"RCPT TO:<{r}>{tail}") for r in recipients]
        said.data = client.command("DATA")
        client.send(smtp.stuffed(smtp.message(subject, sender, recipients[0])))
        said.dot = client.reply()
        return said


def notices(own, sender=SENDER):
    return [email.message_from_bytes(m.message) for m in list(own.mails)
            if m.sender == "" and m.recipients == [sender]]


def blocks(notice):
    """Of its recipients: (address, action, status)."""
    return [(b["Final-Recipient"].partition("; ")[2], b["Action"], b["Status"])
            for b in notice.get_payload(1).get_payload()[1:]]


# ---- direct then smarthost

CAUSES = {"connect": "a@gone.ways.example", "tls": "a@plain.ways.example",
          "dns": "a@broken.ways.example", "4xx": "later@one.ways.example",
          "listed": "listed@one.ways.example"}
TURNING = f"""\
send direct then smarthost "{SMART}:587" after {{after}} answer within {BUDGET_S}s per mail
destination "plain.ways.example" {{{{{{{{ tls required }}}}}}}}
{ALL.replace("{", "{{").replace("}", "}}")}"""


@pytest.mark.parametrize("after", CAUSES)
def test_turns_for_its_cause_alone(start, remotes, after):
    """At once while the client waits, for the cause that is named; for no other."""
    spool = start(TURNING.format(after=after))
    for cause, recipient in CAUSES.items():
        sender = f"{cause}@ours.example"
        said = send([recipient], sender=sender)
        assert said.dot.code == 250, (cause, said)
        if cause == after:
            assert f"{SMART} has it" in str(said.dot), (cause, said)
            assert spool.of(sender) == []
        else:
            assert "Queued" in str(said.dot), (cause, said)
            assert spool.of(sender)[0]["recipients"]["waiting"] == 1
    assert remotes["smart"].arrived() == [CAUSES[after]]
    assert remotes["first"].mails == []


def test_turns_after_failures(start, remotes):
    spool = start(TURNING.format(after="3 failures"))
    said = send(["later@one.ways.example"])
    assert said.dot.code == 250 and "Queued" in str(said.dot), said
    spool.wait_empty(SENDER)
    assert remotes["first"].asked == ["later@one.ways.example"] * 3
    assert remotes["smart"].arrived() == ["later@one.ways.example"]


def test_greylisted_stays(start, remotes):
    """It keeps its route and its address, whatever `after` says, until it is let in."""
    spool = start(TURNING.format(after="4xx, 1 failure"))
    for n in range(4):
        said = send([f"grey-{n}@both.ways.example"], sender=f"grey{n}@ours.example")
        assert said.dot.code == 250 and "Queued" in str(said.dot), said
    time.sleep(2.5)
    for each in ("first", "second"):
        remotes[each].mended.set()
    spool.wait_empty()
    for n in range(4):
        asked = [each for each in ("first", "second")
                 if f"grey-{n}@both.ways.example" in remotes[each].asked]
        assert len(asked) == 1, asked
    assert remotes["smart"].mails == []
    assert len(remotes["first"].mails) + len(remotes["second"].mails) == 4


def test_smarthost_refuses(start, remotes):
    """Its words are the client's, as any remote's; what it puts off waits for it."""
    spool = start(f'send smarthost "{SMART}:587" answer within {BUDGET_S}s per mail\n' + ALL)
    said = send(["no@one.ways.example", "no@two.ways.example"])
    assert (said.dot.code, said.dot.enhanced) == (550, "5.1.1"), said
    assert spool.list() == []
    said = send(["a@one.ways.example", "b@two.ways.example"])
    assert said.dot.code == 250 and f"{SMART} has it" in str(said.dot), said
    assert [sorted(m.recipients) for m in remotes["smart"].mails] == [
        ["a@one.ways.example", "b@two.ways.example"]]
    remotes["smart"].stop()
    said = send(["c@one.ways.example"])
    assert said.dot.code == 250 and "Queued" in str(said.dot), said
    remotes["smart"].start()
    spool.wait_empty(SENDER)
    assert remotes["smart"].arrived()[-1] == "c@one.ways.example"


def test_queued(start, remotes):
    """Answered before anybody is asked, and sent."""
    spool = start("send queued\n" + ALL)
    before = time.monotonic()
    said = send(["mute@one.ways.example", "no@two.ways.example"])
    assert said.dot.code == 250 and "Queued" in str(said.dot), said
    assert time.monotonic() - before < BUDGET_S - 1
    proc.wait_until(lambda: notices(remotes["own"]), "the notice", 30)
    assert blocks(notices(remotes["own"])[0]) == [("no@two.ways.example", "failed", "5.1.1")]
    remotes["first"].mended.set()
    spool.wait_empty(SENDER)
    assert remotes["first"].arrived() == ["mute@one.ways.example"]


# ---- what rules do with a mail

def test_rules(start, remotes):
    """A route, a hold for a while and until an hour, a quarantine and its release."""
    spool = start(DIRECT + f"""\
inbound {{{{ accept }}}}
outbound {{{{
    route to "{ROUTED}:25" if recipient is "routed@one.ways.example"
    hold for 3s if header "Subject" is "hold"
    hold until "04:05" if header "Subject" is "night"
    quarantine "watch" if header "Subject" is "watch"
    accept
}}}}
""")
    said = send(["routed@one.ways.example"])
    assert f"{ROUTED} has it" in str(said.dot), said
    began = time.monotonic()
    said = send(["a@one.ways.example"], subject="hold", sender="hold@ours.example")
    assert said.dot.code == 250 and "Accepted" in str(said.dot), said
    assert spool.of("hold@ours.example")[0]["kind"] == "hold"
    send(["b@one.ways.example"], subject="night", sender="night@ours.example")
    night = spool.of("night@ours.example")[0]
    assert time.strftime("%H:%M", time.localtime(
        time.mktime(time.strptime(night["hold_until"], "%Y-%m-%dT%H:%M:%SZ"))
        - time.timezone)) == "04:05", night
    said = send(["c@two.ways.example"], subject="watch", sender="watch@ours.example")
    assert said.dot.code == 250 and "Accepted" in str(said.dot), said
    watched = spool.of("watch@ours.example")[0]
    assert (watched["kind"], watched["quarantine"]) == ("quarantine", "watch"), watched
    spool.wait_empty("hold@ours.example")
    assert time.monotonic() - began > 2.9
    assert remotes["first"].arrived() == ["a@one.ways.example"]
    assert remotes["second"].mails == []
    spool.run("release", night["id"], "--yes")
    spool.run("release", "--quarantine", "watch", "--yes")
    spool.wait_empty()
    assert remotes["first"].arrived() == ["a@one.ways.example", "b@one.ways.example"]
    assert remotes["second"].arrived() == ["c@two.ways.example"]
    assert remotes["routed"].arrived() == ["routed@one.ways.example"]


# ---- inbound

INBOUND = f"""\
hostname "mx.ours.example"
resolver "{RESOLVER}:53" insecure
spool "{{spool}}"
listen inbound on "{GATE}:25"
domain "ours.example" deliver to "{OWN}:25"
domain "other.example" deliver to "{SECOND}:25"
domain "lmtp.example" deliver to "lmtp:{LMTP}:24"
domain "kept.example" deliver to "{DEAD}:25" hold when unreachable
domain "kept2.example" deliver to "{DEAD}:26" hold when unreachable
domain "lost.example" deliver to "{DEAD}:25"
domain "lost2.example" deliver to "{DEAD}:26"
queue {{{{ retry after 1s, up to 2s lifetime 5m }}}}
inbound {{{{ accept }}}}
"""


def inbound(recipients):
    return send(recipients, sender="bob@sender.example", host=GATE, source=STRANGER)


@pytest.fixture
def lmtp(remotes):
    with Remote(LMTP, 24, lmtp=True) as server:
        yield server


def test_split(start, remotes, lmtp):
    """One says 250: what is put off waits in the spool, what is refused is for a person."""
    spool = start("", INBOUND)
    said = inbound(["a@ours.example", "b@lmtp.example", "later@lmtp.example", "no@lmtp.example"])
    assert [r.code for r in said.recipients] == [250] * 4, said
    assert said.dot.code == 250 and "2 delivered, 1 refused, 1 queued" in str(said.dot), said
    assert remotes["own"].arrived() == ["a@ours.example"]
    assert lmtp.arrived() == ["b@lmtp.example"]
    proc.wait_until(lambda: len(spool.list()) == 2, "what is for a person")
    kept = [i for i in spool.list() if i["kind"] == "quarantine"]
    waits = [i for i in spool.list() if i["kind"] == "send"]
    assert [(i["quarantine"], i["first_recipients"]) for i in kept] == [
        ("undeliverable", ["no@lmtp.example"])], kept
    assert "Nobody of that name" in kept[0]["rule"], kept
    assert waits[0]["recipients"]["waiting"] == 1, waits
    lmtp.mended.set()
    proc.wait_until(lambda: lmtp.arrived() == ["b@lmtp.example", "later@lmtp.example"],
                    "the one that was put off", 30)
    proc.wait_until(lambda: [i["kind"] for i in spool.list()] == ["quarantine"], "the end", 20)
    assert not notices(remotes["own"], "bob@sender.example")
    assert len(remotes["own"].mails) == 1


def test_nobody_takes_it(start, remotes, lmtp):
    """Nothing was delivered: the client keeps its mail, and hears of the refused next time."""
    spool = start("", INBOUND)
    said = inbound(["no@ours.example", "no@other.example"])
    assert (said.dot.code, said.dot.enhanced) == (550, "5.1.1"), said
    for recipients in (["later@ours.example", "later@other.example"],
                       ["no@ours.example", "later@other.example"],
                       ["later@lmtp.example", "later-2@lmtp.example"]):
        said = inbound(recipients)
        assert said.dot.code == 451, said
        assert "Come again" in str(said.dot), said
    said = inbound(["a@lost.example", "b@lost2.example"])
    assert said.dot.code == 451, said
    assert spool.list() == []
    said = inbound(["no@ours.example", "b@other.example"])
    assert [r.code for r in said.recipients] == [550, 250], said
    assert remotes["own"].mails == [] and lmtp.mails == []


def test_hold_when_unreachable(start, remotes):
    """Where it is asked for, and for nothing that a server has answered."""
    spool = start("", INBOUND)
    assert inbound(["a@lost.example"]).dot.code == 451
    assert spool.list() == []
    said = inbound(["a@kept.example"])
    assert said.dot.code == 250 and "Queued" in str(said.dot), said
    said = inbound(["b@kept.example", "c@kept2.example"])
    assert said.dot.code == 250, said
    assert sum(i["recipients"]["waiting"] for i in spool.list()) == 3
    with Remote(DEAD) as dead, Remote(DEAD, 26) as dead2:
        spool.wait_empty()
        assert dead.arrived() == ["a@kept.example", "b@kept.example"]
        assert dead2.arrived() == ["c@kept2.example"]
        dead.mails.clear()
        said = inbound(["later@kept.example"])
        assert said.dot.code == 451 and "Come again" in str(said.dot), said
        assert spool.list() == []


# ---- answer at rcpt

def test_answer_at_rcpt(start, remotes):
    spool = start(f"send direct answer within {BUDGET_S}s per mail answer at rcpt\n" + ALL)
    said = send(["no@one.ways.example", "a@one.ways.example", "later@one.ways.example",
                 "listed@one.ways.example", "x@nothere.ways.example", "y@gone.ways.example"])
    assert [r.code for r in said.recipients] == [550, 250, 250, 250, 550, 250], said
    assert "Nobody of that name" in str(said.recipients[0])
    assert said.recipients[4].enhanced == "5.1.2", said
    assert said.dot.code == 250 and "1 delivered, 0 refused, 3 queued" in str(said.dot), said
    assert remotes["first"].arrived() == ["a@one.ways.example"]
    # One that is asked while the one before is being reset has a connection of its own.
    assert len(remotes["first"].sessions) <= 2
    assert "no@one.ways.example" not in remotes["first"].mails[0].refused
    assert spool.of(SENDER)[0]["recipients"]["waiting"] == 3
    assert not notices(remotes["own"])


# ---- how long, for whom, and how much

def test_budget_of_a_connection(start, remotes):
    """Each mail has its time, all of a connection together have theirs."""
    spool = start("send direct answer within 3s per mail, 4s per connection\n" + ALL)
    took = []
    with smtp.Client(SUBMIT, source=CLIENT, timeout=60) as client:
        for n in range(3):
            before = time.monotonic()
            said = client.mail(f"u{n}@ours.example", [f"hush-{n}@one.ways.example"],
                               smtp.message("slow", f"u{n}@ours.example"))
            took.append(time.monotonic() - before)
            assert said.dot.code == 250 and "Queued" in str(said.dot), said
    assert took[0] > 2.9 and 0.5 < took[1] < 2.5 and took[2] < 0.9, took
    remotes["first"].mended.set()
    spool.wait_empty()
    assert remotes["first"].arrived() == [f"hush-{n}@one.ways.example" for n in range(3)]


@pytest.mark.parametrize("word, arrives", [("mute", False), ("hush", True)])
@pytest.mark.parametrize("sites", [1, 2])
def test_client_goes_away(start, remotes, word, arrives, sites):
    """No final dot is started for a client that is gone; one that is out is not cut, nor repeated."""
    spool = start("send direct answer within 20s per mail\n" + ALL)
    hosts = ["one", "two"][:sites]
    recipients = [f"{word}@{host}.ways.example" for host in hosts]
    servers = [remotes["first"], remotes["second"]][:sites]
    client = smtp.Client(SUBMIT, source=CLIENT)
    client.command("EHLO client.example")
    client.command(f"MAIL FROM:<{SENDER}>")
    for recipient in recipients:
        client.command(f"RCPT TO:<{recipient}>")
    client.command("DATA")
    client.send(smtp.stuffed(smtp.message("gone", SENDER, recipients[0])))
    proc.wait_until(lambda: all(s.asked for s in servers), "the remotes")
    time.sleep(1)
    client.reset()
    time.sleep(1)
    for server in servers:
        server.mended.set()
    time.sleep(3)
    spool.wait_empty()
    for server, recipient in zip(servers, recipients):
        assert server.arrived() == [recipient] * arrives
    assert not notices(remotes["own"])


def test_large_mail_and_restart(start, remotes):
    """A mail of a megabyte over two sites; what waits goes on after a restart, byte for byte."""
    spool = start(DIRECT + ALL)
    message = smtp.message("large", SENDER, "a@one.ways.example",
                           body=".dots\r\n..\r\n" + ("0123456789" * 9 + "\r\n") * 11000)
    with smtp.Client(SUBMIT, source=CLIENT, timeout=60) as client:
        said = client.mail(SENDER, ["a@two.ways.example", "later@one.ways.example"], message)
    assert said.dot.code == 250 and "1 delivered, 0 refused, 1 queued" in str(said.dot), said
    spool.gate.stop()
    spool.gate.start()
    proc.wait_until(lambda: len(spool.gate.events("ready")) == 2, "the second start", 20)
    assert spool.of(SENDER)[0]["recipients"]["waiting"] == 1
    remotes["first"].mended.set()
    spool.wait_empty()
    assert remotes["first"].arrived() == ["later@one.ways.example"]
    assert remotes["second"].arrived() == ["a@two.ways.example"]
    for each in ("first", "second"):
        got = remotes[each].mails[0].message
        assert got.endswith(message) and got[:-len(message)].startswith(b"Received: ")


# ---- the way out is bad

def blocked(start, remotes):
    """Five unrelated destinations cannot be reached: the state, one alarm, and the smarthost."""
    spool = start(f'send direct then smarthost "{SMART}:587" after listed '
                  f"answer within {BUDGET_S}s per mail\n" + ALL)
    gate = spool.gate
    for n in range(5):
        assert not gate.events("egress")
        said = send([f"a@far{n}.example"], sender=f"far{n}@ours.example")
        assert said.dot.code == 250, said
        # The last one makes it known, and goes the other way while its client waits.
        assert (f"{SMART} has it" if n == 4 else "Queued") in str(said.dot), said
    alarm = gate.wait_event("egress", state="blocked")
    assert all(f"far{n}.example" in alarm["evidence"] for n in range(5)), alarm
    spool.wait_empty()
    assert remotes["smart"].arrived() == [f"a@far{n}.example" for n in range(5)]
    return spool, gate


def test_blocked_way_out(start, remotes):
    spool, gate = blocked(start, remotes)
    with Remote("198.51.100.165") as far:
        said = send(["b@far5.example"])
        assert f"{SMART} has it" in str(said.dot), said
        assert far.sessions == []
    assert len(gate.events("egress")) == 1
    assert '"egress":"blocked"' in spool.run("--json").replace(" ", "")


@pytest.mark.long
def test_blocked_way_opens(start, remotes):
    """After five minutes one mail tries the way; the second that passes opens it."""
    _, gate = blocked(start, remotes)
    time.sleep(301)
    with Remote("198.51.100.164", name="mx.far4.example") as four, \
            Remote("198.51.100.165", name="mx.far5.example") as five:
        assert f"{SMART} has it" not in str(send(["c@far4.example"]).dot)
        assert f"{SMART} has it" not in str(send(["c@far5.example"]).dot)
        gate.wait_event("egress", state="open")
        assert f"{SMART} has it" not in str(send(["d@far5.example"]).dot)
        assert four.arrived() == ["c@far4.example"]
        assert five.arrived() == ["c@far5.example", "d@far5.example"]


# ---- limits of a destination

class Counting(Remote):
    """Takes its time for each mail, and counts how many it has at once."""

    def __init__(self, address):
        self.lock, self.now, self.most = threading.Lock(), 0, 0
        super().__init__(address)

    def dot(self, transaction, session):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.2)
        with self.lock:
            self.now -= 1
        return super().dot(transaction, session)


def test_limits_of_a_destination(start, remotes):
    spool = start("""\
send queued
destination "one.ways.example" {{ connections 2  per connection 3 }}
destination "two.ways.example" {{ rate 60/minute }}
""" + ALL)
    for each in ("first", "second"):
        remotes[each].stop()
    with Counting(FIRST) as first, Counting(SECOND) as second:
        for n in range(10):
            for site in ("one", "two"):
                assert send([f"u{n}@{site}.ways.example"],
                            sender=f"u{n}@ours.example").dot.code == 250
        spool.wait_empty()
        assert len(first.mails) == len(second.mails) == 10
        assert first.most == 2
        per = [len(s.transactions) for s in first.sessions]
        assert max(per) <= 3 and sum(per) == 10, per
        # A tenth of the rate at once, then one a second.
        times = sorted(m.time for m in second.mails)
        assert times[-1] - times[0] > 2.5, times


# ---- reload

def test_reload(start, remotes):
    """What is under way ends as it began, what is queued is kept, the new settings hold."""
    spool = start(DIRECT + ALL, HEAD.replace("retry after 1s, up to 2s lifetime 5m", "retry after 1h lifetime 2d"))
    gate = spool.gate

    def keepers():
        return {pid for pid, _ in ((int(e["child"]), e) for e in gate.events(
            "child-start", kind="keeper"))}

    first_keeper = keepers()
    assert "Queued" in str(send(["later@one.ways.example"], sender="later@ours.example").dot)
    # One is under way with its client gone, one with its client waiting.
    assert "Queued" in str(send(["hush@two.ways.example"], sender="hush@ours.example").dot)
    said = []
    waiting = threading.Thread(target=lambda: said.append(
        send(["hush-2@two.ways.example"], sender="hush2@ours.example")))
    waiting.start()
    proc.wait_until(lambda: "hush-2@two.ways.example" in remotes["second"].asked, "the second")
    text = gate.config.read_text()
    gate.write(text.replace("retry after 1h lifetime 2d", "retry after 1s, up to 2s lifetime 5m")
               .replace(DIRECT, f'send smarthost "{SMART}:587"\n'))
    gate.reload()
    gate.wait_event("reload", generation="2")
    remotes["second"].mended.set()
    waiting.join()
    assert said[0].dot.code == 250 and f"{SECOND} has it" in str(said[0].dot), said
    assert f"{SMART} has it" in str(send(["a@one.ways.example"]).dot)
    spool.wait_empty("hush@ours.example")
    assert remotes["second"].arrived() == ["hush-2@two.ways.example", "hush@two.ways.example"]
    # The queued one was due in an hour. From now on the wait is a second, by the new way.
    spool.run("retry", "--sender", "later@ours.example", "--yes")
    spool.wait_empty()
    assert remotes["smart"].arrived() == ["a@one.ways.example", "later@one.ways.example"]
    assert keepers() == first_keeper
    assert {name for name in gate.processes().values()} and not gate.events("child-exit",
                                                                            kind="keeper")


# ---- notices that are asked for

def test_delay_notice(start, remotes):
    """Once, to who asks for it, and to nobody else."""
    spool = start(DIRECT + ALL)
    own = remotes["own"]
    send(["later-1@one.ways.example"], sender="asks@ours.example", notify="DELAY,FAILURE")
    send(["later-2@one.ways.example"], sender="asks-not@ours.example")
    send(["later-3@one.ways.example"], sender="never@ours.example", notify="NEVER")
    proc.wait_until(lambda: notices(own, "asks@ours.example"), "the notice", 40)
    time.sleep(11)  # another round over the spool
    (notice,) = notices(own, "asks@ours.example")
    ((who, action, status),) = blocks(notice)
    assert (who, action) == ("later-1@one.ways.example", "delayed") and status[0] == "4", notice
    block = notice.get_payload(1).get_payload()[1]
    assert "Come again" in block["Diagnostic-Code"] and block["Will-Retry-Until"], block
    remotes["first"].mended.set()
    spool.wait_empty()
    assert len(own.mails) == 1 and len(remotes["first"].mails) == 3


def test_never_and_success(start, remotes):
    """RFC 3461: NEVER is never; who wants to hear of success does, by us or by the remote."""
    spool = start(DIRECT + ALL)
    own = remotes["own"]
    second = remotes["second"]
    remotes["first"].extensions.remove("DSN")
    said = send(["no@one.ways.example", "a@two.ways.example"], sender="never@ours.example",
                notify="NEVER")
    assert said.dot.code == 250, said
    said = send(["b@one.ways.example"], sender="asks@ours.example", notify="SUCCESS",
                orcpt="rfc822;list@ours.example")
    assert said.dot.code == 250 and f"{FIRST} has it" in str(said.dot), said
    send(["c@two.ways.example"], sender="theirs@ours.example", notify="SUCCESS")
    send(["d@one.ways.example"], sender="asks-not@ours.example")
    said = send(["e@one.ways.example", "no-e@one.ways.example"], sender="both@ours.example",
                notify="SUCCESS,FAILURE")
    assert said.dot.code == 250, said
    # Queued at first, delivered later: told then.
    send(["later@one.ways.example"], sender="waits@ours.example", notify="SUCCESS")
    assert not notices(own, "waits@ours.example")
    remotes["first"].mended.set()
    spool.wait_empty()
    (notice,) = notices(own, "asks@ours.example")
    assert blocks(notice) == [("b@one.ways.example", "relayed", "2.0.0")]
    block = notice.get_payload(1).get_payload()[1]
    assert block["Original-Recipient"] == "rfc822; list@ours.example"
    assert block["Remote-MTA"] == "dns; first.ways.example"
    assert sorted(blocks(notices(own, "both@ours.example")[0])) == [
        ("e@one.ways.example", "relayed", "2.0.0"), ("no-e@one.ways.example", "failed", "5.1.1")]
    assert [blocks(n) for n in notices(own, "waits@ours.example")] == [
        [("later@one.ways.example", "relayed", "2.0.0")]]
    assert len(own.mails) == 3
    assert any(b"RCPT TO:<c@two.ways.example> NOTIFY=SUCCESS" in s.bytes_in
               for s in second.sessions)

"""Proof: kill -9 of each process under load; what is quarantined, held, copied, journaled and counted.

One gateway with everything that stands on the keeper's files: mails are quarantined and held by what
their body says, copied, journaled, scanned, looked up in a table of SQLite, signed, sent by accounts
that log in, and counted by quotas; mails are let out of the quarantine all the while. Each kind of
process is killed by SIGKILL in turn. Afterwards every mail that was answered 250 is at its place once,
every second copy has its cause in a final dot that was out (RFC 1047), the journal has all, and each
counter is what was taken but for the last second before the keeper's deaths.
POSTERN_KILLS: another number of kills; POSTERN_SEED: the same choices again.
"""
import base64
import collections
import json
import os
import random
import re
import sqlite3
import subprocess
import threading
import time

import pytest

from lab import postern, proc, smtp

pytestmark = pytest.mark.slow
GATE, SUBMIT = "192.0.2.190", "192.0.2.191"
INSIDE, ARCHIVE, REMOTE = "198.51.100.190", "198.51.100.191", "198.51.100.192"
JOURNAL, AUDIT = "journal@archive.example", "audit@ours.example"
VIRUS = "postern-laboratory-virus"
CLIENTS = 6  # the first half from outside, the others by their accounts
HOLD_S = 2
TICK_S = 0.01  # a hold counts whole milliseconds, on the clock on the wall
KINDS = ("keeper", "session", "delivery", "scan-worker", "postern-scanner", "signer", "auth", "directory")
STABLE_S = 10.5  # what has lived so long is started again at once, else ever later
# Counting is on disk a second later, and the time that it takes to write; the same of a final reply.
FLUSH_S, WRITE_S, RECORD_S, NOTICED_S = 1.0, 0.5, 0.5, 0.1
SUBJECT = re.compile(rb"^Subject: ((?:go|keep|hold|copy|virus)-\d+-\d+)\r$", re.M)
CONFIG = f"""\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{{spool}}"
listen inbound on "{GATE}:25"
listen outbound on "{SUBMIT}:465" tls implicit certificate "gate.pem" key "gate.key" auth "users"
domain "ours.example" deliver to "{INSIDE}:25"
domain "archive.example" deliver to "{ARCHIVE}:25"
send smarthost "{REMOTE}:25"
journal to "{JOURNAL}"
{{users}}
sign "ours.example" selector "e" key "e.pem"
filter virus {{{{ database "signatures" }}}}
table banned sql "sqlite:{{people}}" query "SELECT 1 FROM banned WHERE mail = ?1"
pattern kept /this is kept/
pattern held /this is held/
queue {{{{ retry after 1s, up to 2s lifetime 1h }}}}
inbound {{{{
    reject if recipient in banned
    defer if rate client > 100000/minute
    defer if quota sender > 100000/month or quota sender > 100000 recipients/month
    reject if virus
    quarantine "kept" if body contains kept
    copy to "{AUDIT}" if subject matches "copy-*"
    hold for {HOLD_S}s if body contains held
    accept
}}}}
outbound {{{{
    reject if recipient in banned
    defer if rate user > 100000 recipients/minute
    defer if quota user > 100000/month or quota user > 100000 recipients/month
    reject if virus
    sign
    quarantine "kept" if body contains kept
    hold for {HOLD_S}s if body contains held
    accept
}}}}
"""
BODY = {"go": "Hello", "copy": "Hello", "keep": "this is kept", "hold": "this is held", "virus": VIRUS}


def environment():
    return {**os.environ, **postern.sanitizer_environment()}


def has_ended(pid):
    """Its last thread has left the kernel: only then its channels are closed."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            state = f.read().rpartition(")")[2].split()[0]
        return state in "ZX" and len(os.listdir(f"/proc/{pid}/task")) <= 1
    except OSError:
        return True


class Hop(smtp.Server):
    """A next hop that remembers when it had each mail: (subject, recipient): [(dot, reply)]."""

    def __init__(self, address, seed):
        self.random, self.taken = random.Random(seed), collections.defaultdict(list)
        self.unsigned = []  # subjects
        super().__init__(address, script={"dot": self.dot})

    def dot(self, transaction, _session):
        began = time.monotonic()
        time.sleep(self.random.choice((0, 0, 0.05, 0.2)))  # kills meet final dots that are out
        found = SUBJECT.search(transaction.message)
        subject = found[1].decode() if found else transaction.message[:300].decode("latin-1")
        with self._lock:
            for recipient in transaction.recipients:
                self.taken[subject, recipient].append((began, time.monotonic()))
            if transaction.message.count(b"DKIM-Signature: ") != 1:
                self.unsigned.append(subject)


class Mail:
    """What a client asked for, and what it was answered; code 0: nothing."""

    def __init__(self, client, number, chance):
        self.kind = chance.choices(("go", "keep", "hold", "copy", "virus"), (6, 4, 3, 2, 1))[0]
        self.subject = f"{self.kind}-{client.number}-{number}"
        domain = "dest.example" if client.account else "ours.example"
        self.copied = self.kind == "copy" and not client.account
        self.recipients = [f"{self.subject}.{i}@{domain}" for i in range(chance.choice((1, 1, 2)))]
        self.code, self.begun, self.answered = 0, 0.0, 0.0

    def places(self):
        """Each recipient of it that has to get one."""
        return self.recipients + ([AUDIT] if self.copied else [])


class Client(threading.Thread):
    """Sends one mail after the other, none a second time, some of them over one connection."""

    def __init__(self, number, context, seed, done):
        super().__init__(daemon=True)
        self.number, self.context, self.done, self.random = number, context, done, random.Random(seed)
        self.account = f"user{number}" if number >= CLIENTS // 2 else None
        self.sender = f"user{number}@" + ("ours.example" if self.account else "sender.example")
        self.key = f"user {self.account} " if self.account else f"sender {self.sender} "
        self.mails, self.wrong = [], None

    def run(self):
        try:
            while not self.done.is_set():
                try:
                    self.connection()
                except OSError:
                    pass
                time.sleep(self.random.uniform(0.01, 0.1))
        except Exception as e:  # pylint: disable=broad-exception-caught
            self.wrong = e  # a test must not pass because its load ended

    def connection(self):
        # Ever another machine: one whose sessions died three times is sent away.
        source = f"192.0.2.{self.random.randrange(64, 128)}"
        with smtp.Client(SUBMIT if self.account else GATE, 465 if self.account else 25, source=source,
                         timeout=60, greeting=self.account is None) as one:
            if self.account:
                one._sock = self.context.wrap_socket(one._sock, server_hostname="mx.ours.example")
                if one.reply().code != 220:
                    return
            if one.command("EHLO client.example").code != 250:
                return
            if self.account:
                word = base64.b64encode(f"\0{self.account}\0secret".encode()).decode()
                if one.command(f"AUTH PLAIN {word}").code != 235:
                    return
            for _ in range(self.random.randint(1, 6)):
                if self.done.is_set() or not self.mail(one):
                    return

    def mail(self, one):
        """Whether the connection is still there."""
        mail = Mail(self, len(self.mails), self.random)
        self.mails.append(mail)
        mail.begun = time.monotonic()
        try:
            said = one.mail(self.sender, mail.recipients, smtp.message(
                mail.subject, self.sender, mail.recipients[0], BODY[mail.kind] + "\r\n"), helo=None)
            mail.code = said.last.code if said.dot is None or said.dot.code else 0
            if mail.code // 100 == 2 and any(r.code != 250 for r in said.recipients):
                raise AssertionError(f"a recipient was refused: {said}")
            assert mail.code != 0 or said.dot is None or said.dot.code == 0
            if mail.code // 100 == 4:  # something is away: not too many of these
                time.sleep(self.random.uniform(0.05, 0.2))
            if said.dot is None and mail.code // 100 in (4, 5) and said.sender.code == 250:
                return one.command("RSET").code == 250
            return mail.code != 0 and mail.code != 421
        finally:
            mail.answered = time.monotonic()


class Person(threading.Thread):
    """Lets mails out of the quarantine, by id and by name, while the keeper dies."""

    def __init__(self, gate, seed, done):
        super().__init__(daemon=True)
        self.gate, self.done, self.random = gate, done, random.Random(seed)
        self.released, self.wrong, self.said = set(), None, collections.Counter()

    def tool(self, *words):
        return subprocess.run([postern.binary("postern"), "-f", self.gate.config, *words],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
                              env=environment())

    def list(self, *words):
        """None where the keeper was not there."""
        done = self.tool("quarantine", "list", "--json", *words)
        return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else None

    def run(self):
        try:
            while not self.done.wait(self.random.uniform(0.02, 0.2)):
                self.once()
        except Exception as e:  # pylint: disable=broad-exception-caught
            self.wrong = e

    def once(self):
        there = self.list("--limit", "40")
        if not there:
            return
        some = [i["id"] for i in self.random.sample(there, min(len(there), self.random.randint(1, 3)))]
        if self.random.random() < 0.3:
            done = self.tool("quarantine", "release", "--name", "kept", "--limit", "2", "--count",
                             str(min(len(there), 2)))
            self.said[f"by name: status {done.returncode}"] += 1
            return
        done = self.tool("quarantine", "release", *some)
        self.said[f"by id: status {done.returncode}"] += 1
        if done.returncode == 0:
            self.released.update(some)


class World:
    """The gateway, its hops and clients, and the account of it all."""

    def __init__(self, gateway, authority, home, seed):
        self.random, self.done = random.Random(seed), threading.Event()
        self.counts, self.problems = collections.Counter(), []
        self.kills = []  # (told to end at, had ended at, back at, kind)
        self.gaps = []  # ms from a final dot's answer to the kill that came before it was recorded
        self.hops = [Hop(a, seed + i) for i, a in enumerate((INSIDE, ARCHIVE, REMOTE))]
        self.inside, self.archive, self.remote = self.hops
        for hop in self.hops:
            hop.start()
        self.clients = [Client(i, authority.client_context(), seed + 10 + i, self.done)
                        for i in range(CLIENTS)]
        self.gate = gateway(self.config(home), self.files(authority, home))
        self.person = Person(self.gate, seed + 9, self.done)

    def config(self, home):
        people = proc.LAB / f"people-{home.name}"
        people.mkdir()
        people.chmod(0o755)
        with sqlite3.connect(people / "people.db") as db:
            db.execute("CREATE TABLE banned (mail TEXT PRIMARY KEY)")
        db.close()
        (people / "people.db").chmod(0o644)
        users = "\n".join(f'user "{c.account}" sends as {{ "{c.sender}" }}'
                          for c in self.clients if c.account)
        return CONFIG.format(spool=proc.LAB / f"enforce-{home.name}", people=people / "people.db",
                             users=users)

    def files(self, authority, home):
        tool = postern.binary("postern")
        proc.run(tool, "dkim", "keygen", "ours.example", "e", "ed25519", home / "e.pem",
                 env=environment())
        for client in self.clients:
            if client.account:
                proc.run(tool, "passwd", client.account, home / "users", input=b"secret\n",
                         env=environment())
        certificate, key = authority.issue("mx.ours.example")
        return {"gate.pem": certificate, "gate.key": key, "users": home / "users",
                "e.pem": home / "e.pem",
                "signatures/main.ndb": f"Lab.Test:0:*:{VIRUS.encode().hex()}\n"}

    def pids(self, kind):
        return [p for p, name in self.gate.processes().items() if name.startswith(kind)]

    def kill(self, kind):
        """One process of the kind; returns when another is in its place."""
        before = proc.wait_until(lambda: self.pids(kind), f"a process {kind}", 60, 0.02)
        pid, at = self.random.choice(before), time.monotonic()
        try:
            self.gate.kill(pid)
        except ProcessLookupError:  # a scan worker goes with its manager
            return
        proc.wait_until(lambda: has_ended(pid), f"the end of {kind}", 20, 0.005)
        ended = time.monotonic()
        proc.wait_until(lambda: len(set(self.pids(kind)) - {pid}) >= len(before), f"another {kind}",
                        60, 0.02)
        self.kills.append((at, ended, time.monotonic(), kind))
        self.counts[f"kills of {kind}"] += 1

    def play(self, kills):
        for one in (*self.clients, self.person):
            one.start()
        time.sleep(1)
        began = collections.defaultdict(lambda: -STABLE_S)
        for i in range(kills):
            kind = KINDS[i % len(KINDS)]
            time.sleep(max(0.0, began[kind] + STABLE_S - time.monotonic()))
            self.kill(kind)
            began[kind] = time.monotonic()
            # Often enough the counters have been written before the next death, and not always.
            time.sleep(self.random.choice((0.1, 0.3, 0.6, 1.8)))
            for one in (*self.clients, self.person):
                assert one.wrong is None, repr(one.wrong)
        self.done.set()
        for one in (*self.clients, self.person):
            one.join(120)
            assert not one.is_alive() and one.wrong is None, repr(one.wrong)

    def killed_between(self, since, until, *kinds):
        return [k for k in self.kills if k[3] in kinds and k[0] <= until and k[1] + NOTICED_S >= since]

    # --- the account

    def queued(self):
        done = self.person.tool("queue", "list", "--json")
        assert done.returncode == 0, done.stderr
        return [i for i in map(json.loads, done.stdout.splitlines()) if i["kind"] != "quarantine"]

    def settle(self):
        """Left alone, all that is not in quarantine goes out."""
        for item in self.queued():
            if item.get("held") and item["kind"] == "send":
                self.counts["held: two delivery processes died with it"] += 1
                self.person.tool("queue", "release", item["id"], "--yes")
        proc.wait_until(lambda: not self.queued(), "an empty queue", 90, 0.5)

    def copies(self, subject, recipient):
        return sorted(c for hop in self.hops for c in hop.taken.get((subject, recipient), []))

    def once(self, mail, recipient, aside):
        """Where this one is; every copy but the last needs its cause."""
        copies = self.copies(mail.subject, recipient)
        for began, replied in copies[:-1]:
            near = self.killed_between(began, replied, "keeper", "delivery")
            late = self.killed_between(replied, replied + RECORD_S, "keeper", "delivery")
            self.counts["second copies: the final dot was out"] += bool(near)
            if late and not near:
                self.counts["second copies: the final dot's answer was not yet recorded"] += 1
                self.gaps.append(1000 * max(0.0, late[0][0] - replied))
            if not near and not late:
                self.problems.append(f"TWICE {mail.subject} {recipient} {copies} {self.kills}")
        if copies and aside:
            near = [k for c in copies for k in self.killed_between(*c, "keeper", "delivery")]
            self.counts["sent and still there: a final dot was out"] += bool(near)
            if not near:
                self.problems.append(f"RELEASED AND STILL THERE {mail.subject} {recipient} {copies}")
        return copies

    def account(self, aside):
        """aside: how often each recipient's mail is in quarantine."""
        for mail in (m for c in self.clients for m in c.mails):
            self.counts[f"answered {mail.code}" if mail.code else "not answered"] += 1
            taken = mail.code == 250
            reports = self.once(mail, JOURNAL, 0)
            if taken:
                self.counts[f"taken: {mail.kind}"] += 1
                if not reports:
                    self.problems.append(f"NOT IN THE JOURNAL {mail.subject}")
            for recipient in mail.places():
                there = aside[recipient] if recipient != AUDIT else 0
                copies = self.once(mail, recipient, there)
                if taken and not copies and not there:
                    self.problems.append(f"LOST {mail.subject} {recipient} {mail.begun} {mail.answered}")
                if there > 1:
                    self.problems.append(f"TWICE IN QUARANTINE {mail.subject} {recipient}")
                if mail.kind == "keep":
                    self.counts["kept: left it" if copies else "kept: still there"] += taken
                elif there:
                    self.problems.append(f"IN QUARANTINE {mail.subject} {recipient}")
                if mail.kind == "hold" and copies and copies[0][0] < mail.begun + HOLD_S - TICK_S:
                    self.problems.append(
                        f"NOT HELD {mail.subject} {recipient}: {copies[0][0] - mail.begun:.3f} s, "
                        f"answered {mail.code} after {mail.answered - mail.begun:.3f} s")
                if mail.code // 100 == 5 and (copies or there):
                    self.problems.append(f"REFUSED AND THERE {mail.subject} {recipient}")
                if not taken and (copies or there):
                    self.refused_and_there(mail, recipient)
            if mail.kind == "virus" and taken:
                self.problems.append(f"A VIRUS WAS TAKEN {mail.subject}")

    def refused_and_there(self, mail, recipient):
        """Without a 250 it is somewhere: its answer was lost, or its final dot was out (RFC 1047)."""
        near = self.killed_between(mail.begun, mail.answered, "keeper", "session", "delivery")
        self.counts["there, though not answered 250: a kill took its answer"] += bool(near)
        if not near:
            self.problems.append(f"NOT TAKEN AND THERE {mail.subject} {recipient} {mail.code}")

    def counters(self):
        """Each counter: what was taken, less the last second of the keeper's lives."""
        done = self.person.tool("limits", "list", "quota", "--json")
        assert done.returncode == 0, done.stderr
        items = list(map(json.loads, done.stdout.splitlines()))
        for client in self.clients:
            for unit in ("/month", " recipients/month"):
                found = [i["used"] for i in items if i["key"].startswith(client.key) and
                         i["key"].endswith(f" 100000{unit}")]
                used = found[0] if found else 0
                self.counter(client, unit, used, lambda m, unit=unit: 1 if unit == "/month" else
                             len(m.recipients))

    def counter(self, client, unit, used, size):
        taken = [m for m in client.mails if m.code == 250]
        last = [m for m in taken if
                self.killed_between(m.begun, m.answered + FLUSH_S + WRITE_S, "keeper")]
        # Counted, and the answer or what gives it back was lost with a process.
        unknown = [m for m in client.mails if m.code != 250 and self.killed_between(
            m.begun, m.answered + NOTICED_S, "keeper", "session")]
        total, least, most = (sum(map(size, some)) for some in (taken, last, unknown))
        name = f"counters{unit}"
        self.counts[f"{name}: taken"] += total
        self.counts[f"{name}: in them"] += used
        self.counts[f"{name}: taken in the last second before a kill"] += least
        self.counts[f"{name}: not answered or given back by a killed process"] += most
        if not total - least <= used <= total + most:
            self.problems.append(f"COUNTER {client.key}{unit}: {used}, but {total} taken, {least} of "
                                 f"them in a last second, {most} unknown")


def figures(world, kills, seed, seconds):
    lines = [f"enforce-kill: {kills} kills in {seconds:.0f} s, seed {seed}"]
    lines += [f"enforce-kill: {n} {what}" for what, n in sorted(world.counts.items()) if n]
    lines += [f"enforce-kill: {n} releases {what}" for what, n in sorted(world.person.said.items())]
    if world.gaps:
        lines.append(f"enforce-kill: {max(world.gaps):.0f} ms at most from a final dot's answer to the "
                     "kill before it was recorded")
    print("\n".join(lines))
    if "POSTERN_FIGURES" in os.environ:
        with open(os.environ["POSTERN_FIGURES"], "a", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")


def test_enforced_through_kills(gateway, authority, nsd, tmp_path):
    kills = int(os.environ.get("POSTERN_KILLS", "30"))
    seed = int(os.environ.get("POSTERN_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"POSTERN_SEED={seed}")
    world = World(gateway, authority, tmp_path, seed)
    began = time.monotonic()
    try:
        world.play(kills)
        time.sleep(HOLD_S)
        world.settle()
        left = world.person.list()
        assert left is not None
        aside = collections.Counter(r for i in left for r in i["first_recipients"])
        strange = [i for i in left if i["quarantine"] != "kept"]
        assert not strange, strange[:3]
        again = world.person.released & {i["id"] for i in left}
        assert not again, f"released, and still in quarantine: {again}"
        world.account(aside)
        world.counters()
        figures(world, kills, seed, time.monotonic() - began)
        assert not world.remote.unsigned, world.remote.unsigned[:5]
        for kind in ("go", "keep", "hold", "copy"):
            assert world.counts[f"taken: {kind}"] > kills / 2, "the load did not run"
        assert world.counts["kept: left it"] > kills / 4, "nothing was let out"
        assert not world.problems, f"{len(world.problems)} problems\n" + "\n".join(world.problems[:20])
    finally:
        world.done.set()
        for hop in world.hops:
            hop.stop()

"""Proof: kill -9 at random moments under load, and what was answered 250 is not lost.

Two gateways, `send direct` and `send queued`, carry mails of eight clients to remotes that are fast,
slow, put off and refuse; one takes mail for two domains of its own, with two next hops and `hold when
unreachable`. One process of one of them is killed by SIGKILL at a time: keeper, delivery, session,
signer, or the parent and with it all. Afterwards every recipient is accounted for, and every second
copy has its cause: a dot that was out. The short form kills 40 times, the long one 1,000 times
(POSTERN_KILLS: another number; POSTERN_SEED: the same moments again).
"""
import collections
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import threading
import time

import pytest

from lab import postern, proc, smtp

GATES = {"direct": ("192.0.2.160", "192.0.2.161"), "queued": ("192.0.2.162", "192.0.2.163")}
FAST, SLOW, MIXED = "198.51.100.160", "198.51.100.161", "198.51.100.162"
IN_ONE, IN_TWO, OWN = "198.51.100.163", "198.51.100.164", "198.51.100.165"
CLIENTS = 8
ZONES = {
    "k.example": f"""\
        fast MX 10 mxfast
        slow MX 10 mxslow
        mixed MX 10 mxmixed
        mxfast A {FAST}
        mxslow A {SLOW}
        mxmixed A {MIXED}
        """,
}
CONFIG = """\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{spool}"
listen inbound on "{inbound}:25"
listen outbound on "{submit}:25" from {{ 192.0.2.64/26 }}
domain "ours.example" deliver to "{own}:25"
domain "one.example" deliver to "{one}:25" hold when unreachable
domain "two.example" deliver to "{two}:25" hold when unreachable
send {send}
sign "ours.example" selector "e" key "e.pem"
queue {{ retry after 1s, up to 2s lifetime 1h }}
inbound {{ accept }}
outbound {{
    sign
    accept
}}
"""
SEND = {"direct": "direct answer within 3s per mail, 1m per connection", "queued": "queued"}
TARGETS = ("keeper", "delivery", "session", "signer", "posternd")
WEIGHTS = (4, 4, 4, 2, 5)  # what is killed often is started again late: a new parent forgets that
RECORD_S = 0.5  # how long a reply may be on its way to the disk, on a busy machine
REFUSED = re.compile(r"([re])5\d\d\.")
NOTICED_S = 0.1  # until the others know that a process has ended
SENDER = "ann@ours.example"


def refuses(recipient, stage):
    found = REFUSED.match(recipient)
    return found is not None and found[1] == stage


class Remote(smtp.Server):
    """Refuses for good what its name says; puts off and is slow by chance, but from a seed."""

    def __init__(self, address, seed, put_off=0.0, delay=(0.0, 0.0)):
        self.random, self.put_off, self.delay = random.Random(seed), put_off, delay
        self.quiet = False  # takes everything now
        self.ends = []  # when it went away with all its connections: from, until
        self.taken = collections.defaultdict(list)  # (subject, recipient): [(dot, reply)]
        super().__init__(address, script={
            "rcpt": self.rcpt, "data": self.wait, "dot": self.dot})

    def chance(self):
        return not self.quiet and self.random.random() < self.put_off

    def wait(self, *_):
        """Kills meet mails before their final dot as often as behind it."""
        time.sleep(0.0 if self.quiet else self.random.uniform(*self.delay))

    def rcpt(self, recipient, _session):
        if refuses(recipient, "r"):
            return "550 5.1.1 nobody here of that name"
        return "451 4.2.0 not now" if self.chance() else None

    def dot(self, transaction, _session):
        began = time.monotonic()
        if any(refuses(r, "e") for r in transaction.recipients):
            return "554 5.6.0 not this mail"
        if self.chance():
            return "451 4.3.0 not now"
        self.wait()
        subject = re.search(rb"^Subject: (.*)\r$", transaction.message, re.M)[1].decode()
        with self._lock:
            for recipient in transaction.recipients:
                self.taken[subject, recipient].append((began, time.monotonic()))
        return None

    def flap(self):
        since = time.monotonic()
        self.stop()
        self.ends.append((since, time.monotonic()))
        time.sleep(self.random.uniform(0.2, 1.0))
        self.start()


def orphans():
    """Processes of a gateway whose parent is gone, also those that it was just about to start.

    One counts until its last thread has left the kernel: until then its sockets are not free.
    """
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if not entry.name.isdigit():
                continue
            head, _, tail = (entry / "stat").read_text().rpartition(")")
            state, parent = tail.split()[:2]
            if (parent == "1" and head.partition("(")[2].startswith(TARGETS)
                    and (state not in "ZX" or len(list((entry / "task").iterdir())) > 1)):
                found.append(entry.name)
        except OSError:
            pass
    return found


def has_ended(pid):
    """Its last thread has left the kernel: only then its channels are closed."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state in "ZX" and len(list(pathlib.Path(f"/proc/{pid}/task").iterdir())) <= 1
    except OSError:
        return True


class Gate:
    """A gateway whose parent may be killed: it is started again over its spool."""

    def __init__(self, name, nsd, key, home):
        self.name, self.kills = name, []  # (told to end at, had ended at, back at, kind)
        inbound, self.submit = GATES[name]
        self.inbound = inbound
        config = CONFIG.format(spool=home / "spool", inbound=inbound, submit=self.submit, own=OWN,
                               one=IN_ONE, two=IN_TWO, send=SEND[name])
        self.one = postern.Postern(config, {"trust.key": nsd.trust_file, "e.pem": key})
        self.logs = 0
        self.one.start()
        self.up = threading.Event()
        self.up.set()

    def pids(self, kind):
        return [pid for pid, name in self.one.processes().items() if name.startswith(kind)]

    def whole(self):
        found = [name.split("-")[0] for name in self.one.processes().values()]
        return all(any(name.startswith(kind) for name in found) for kind in TARGETS)

    def kill(self, kind, chance):
        """One process, or all; returns when another is in its place."""
        at = time.monotonic()
        if kind == "posternd":
            self.one.process.kill()
            self.one.process.wait()
            proc.wait_until(lambda: not orphans(), "the end of all", 10, 0.005)
            ended = time.monotonic()
            self.rotate()
            self.one.start()
        else:
            pid = chance.choice(self.pids(kind))
            self.one.kill(pid)
            proc.wait_until(lambda: has_ended(pid), f"the end of {kind}", 10, 0.005)
            ended = time.monotonic()
            proc.wait_until(lambda: pid not in self.pids(kind) and self.whole(),
                            f"another {kind}", 60, 0.05)
        self.kills.append((at, ended, time.monotonic(), kind))

    def rotate(self):
        reports = self.one.sanitizer_reports()
        assert not reports, reports
        bad = [e for e in self.one.events("child-exit")
               if e.get("status") not in ("exit 0", "killed by SIGKILL")]
        assert not bad, bad[0]
        self.logs += 1
        self.one.log_path.rename(self.one.home / f"postern.log.{self.logs}")

    def queue(self, *words):
        done = subprocess.run([postern.binary("postern"), "-f", self.one.config, "queue", *words],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
                              check=False,
                              env={**os.environ, **postern.sanitizer_environment()})
        assert done.returncode == 0, (words, done.stdout.decode(), done.stderr.decode())
        return done.stdout.decode()

    def killed_between(self, since, until, kinds):
        """The kills in this span: one that is told to end may be in the middle of a sync."""
        return [k for k in self.kills
                if k[3] in kinds and k[0] <= until and k[1] + NOTICED_S >= since]

    def near(self, copies):
        return [k for k in self.kills if copies[0][0] - 3 < k[0] < copies[-1][1] + 3]

    def logged(self, recipient):
        """What the log says of a mail that something is wrong with."""
        found = []
        for path in sorted(self.one.home.glob("postern.log*")):
            text = path.read_text(encoding="utf-8", errors="replace").splitlines()
            ids = {m[1] for line in text if recipient in line
                   for m in re.finditer(r" mail=(\S+)", line)}
            found += [line[:300] for line in text if any(f"mail={i}" in line for i in ids)]
        return "\n".join(found)

    def was_away(self, since, until):
        """A kill, or the time until its victim was back, that touches this span."""
        return any(k[0] <= until and k[2] >= since for k in self.kills)


class Disk(threading.Thread):
    """How long a sync takes beside the spools: a record cannot be on the disk before."""

    def __init__(self, home, done):
        super().__init__(daemon=True)
        self.file, self.done, self.slow = os.open(home / "disk", os.O_CREAT | os.O_WRONLY), done, []

    def run(self):
        while not self.done.is_set():
            began = time.monotonic()
            os.write(self.file, b"x" * 4096)
            os.fdatasync(self.file)
            if time.monotonic() - began > 0.1:
                self.slow.append((began, time.monotonic()))
            time.sleep(0.02)
        os.close(self.file)

    def stood_still(self, since, until):
        return sum(end - began for began, end in self.slow if began <= until and end >= since)


class Mail:
    """One mail of a client, and all that the client heard about it."""

    def __init__(self, number, chance):
        self.subject = f"mail-{number:06d}"
        self.way = chance.choice(("direct", "direct", "queued", "inbound"))
        self.gate = "direct" if self.way == "inbound" else self.way
        self.sender = "bob@sender.example" if self.way == "inbound" else SENDER
        sites = (["one.example", "two.example"] if self.way == "inbound" else
                 ["fast.k.example", "slow.k.example", "mixed.k.example", "mixed.k.example"])
        self.recipients = []
        for i in range(chance.choice((1, 1, 1, 2, 3))):
            word = chance.choice(("to", "to", "to", "to", "to", "r550", "e554"))
            self.recipients.append(f"{word}.{i}.{number}@{chance.choice(sites)}")
        self.attempts = []  # (dot sent at, answered at, code); code 0: the connection ended
        self.code = 0  # the last answer
        self.refused = set()  # recipients, at RCPT

    def body(self):
        return smtp.message(self.subject, self.sender, self.recipients[0],
                            body="x" * 70 + "\r\n" + "line\r\n" * 300)


class Client(threading.Thread):
    """Sends one mail after the other; what is not answered, or put off, it sends again."""

    def __init__(self, number, gates, seed, stop):
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        self.first, self.gates, self.done = number, gates, stop
        self.source = f"192.0.2.{64 + number}"
        self.mails, self.wrong = [], None

    def run(self):
        number = self.first
        try:
            while not self.done.is_set():
                mail = Mail(number, self.random)
                number += CLIENTS
                self.mails.append(mail)
                while mail.code // 100 not in (2, 5) and not self.done.is_set():
                    self.attempt(mail)
                    time.sleep(self.random.uniform(0.02, 0.1 if mail.code else 0.3))
        except Exception as e:  # pylint: disable=broad-exception-caught
            self.wrong = e  # a test must not pass because its load ended

    def attempt(self, mail):
        gate = self.gates[mail.gate]
        address = gate.inbound if mail.way == "inbound" else gate.submit
        mail.code, dot = 0, None
        try:
            with smtp.Client(address, source=self.source, timeout=60) as client:
                if client.greeting.code != 220:
                    return
                client.command("EHLO client.example")
                client.send(f"MAIL FROM:<{mail.sender}>\r\n".encode())
                said = [client.reply()]
                said += [client.command(f"RCPT TO:<{r}>") for r in mail.recipients]
                mail.refused = {r for r, reply in zip(mail.recipients, said[1:])
                                if reply.code // 100 == 5}  # its server said so, when asked
                later = [r.code for r in said if r.code // 100 not in (2, 5)]
                if said[0].code != 250 or later or len(mail.refused) == len(mail.recipients):
                    mail.code = later[0] if later else said[-1].code
                    assert mail.code // 100 in (0, 4) or mail.way == "inbound", said
                    return
                said.append(client.command("DATA"))
                if said[-1].code != 354:
                    mail.code = said[-1].code
                    assert mail.code // 100 in (0, 4), said
                    return
                dot = time.monotonic()
                client.send(smtp.stuffed(mail.body()))
                mail.code = client.reply().code
        except OSError:
            mail.code = 0
        finally:
            if dot is not None:
                mail.attempts.append((dot, time.monotonic(), mail.code))


class World:
    """Everything, and the account of it afterwards."""

    def __init__(self, nsd, authority_key, home, seed):
        self.random = random.Random(seed)
        self.remotes = {
            FAST: Remote(FAST, seed + 1), SLOW: Remote(SLOW, seed + 2, 0.02, (0.05, 0.6)),
            MIXED: Remote(MIXED, seed + 3, 0.25, (0.0, 0.1)),
            IN_ONE: Remote(IN_ONE, seed + 4, 0.1, (0.0, 0.2)),
            IN_TWO: Remote(IN_TWO, seed + 5, 0.0, (0.0, 0.05)), OWN: smtp.Server(OWN)}
        for remote in self.remotes.values():
            remote.start()
        self.gates = {}
        for name in GATES:
            place = home / name
            place.mkdir()
            self.gates[name] = Gate(name, nsd, authority_key, place)
        self.stop = threading.Event()
        self.disk = Disk(home, self.stop)
        self.clients = [Client(i, self.gates, seed + 100 + i, self.stop) for i in range(CLIENTS)]
        self.counts = collections.Counter()
        self.gaps = []  # ms from a reply to the kill that came before it was recorded

    def play(self, kills):
        self.disk.start()
        for client in self.clients:
            client.start()
        for i in range(kills):
            time.sleep(self.random.uniform(0.05, 0.6))
            gate = self.gates[self.random.choice(list(GATES))]
            kind = self.random.choices(TARGETS, WEIGHTS)[0]
            self.counts[f"kills of {'all (parent)' if kind == 'posternd' else kind}"] += 1
            if i % 8 == 3:
                self.remotes[IN_TWO].flap()
            gate.kill(kind, self.random)
            for client in self.clients:
                assert client.wrong is None, repr(client.wrong)
        self.stop.set()
        for client in self.clients:
            client.join(90)
            assert not client.is_alive() and client.wrong is None, repr(client.wrong)

    def left(self, gate):
        """What is still to be sent: everything but the quarantine."""
        items = [json.loads(line) for line in gate.queue("list", "--json").splitlines()]
        return [i for i in items if i["kind"] != "quarantine"]

    def settle(self):
        """Left alone, everything that is in the spools goes out."""
        for remote in self.remotes.values():
            remote.quiet = True
        for gate in self.gates.values():
            held = [i["id"] for i in self.left(gate) if i.get("held")]
            self.counts["held: two delivery processes died with it"] += len(held)
            for one in held:
                gate.queue("release", one, "--yes")
            self.counts["in the spools at the end of the load"] += len(self.left(gate))
        for gate in self.gates.values():
            proc.wait_until(lambda gate=gate: not self.left(gate), f"the spool of {gate.name}",
                            120, 0.5)

    def copies(self, subject, recipient):
        found = []
        for remote in self.remotes.values():
            if isinstance(remote, Remote):
                found += [(*times, remote)
                          for times in remote.taken.get((subject, recipient), [])]
        return sorted(found, key=lambda copy: copy[:2])

    def told(self):
        """(subject, recipient) of each DSN at our own server, and of each mail put aside."""
        found = set()
        for mail in list(self.remotes[OWN].mails):
            subject = re.search(rb"mail-\d+", mail.message)
            for name in re.findall(rb"Final-Recipient: rfc822; ?(\S+)", mail.message):
                found.add((subject[0].decode(), name.decode()))
        return found

    def aside(self, gate):
        found = collections.Counter()
        for line in gate.queue("list", "--json", "--kind", "quarantine").splitlines():
            for recipient in json.loads(line)["first_recipients"]:
                found[recipient] += 1
        return found

    def cause(self, mail, copy):
        """Why a copy that is not the last one was not the end of it."""
        gate = self.gates[mail.gate]
        began, replied, remote = copy
        kinds = ("keeper", "delivery", "posternd")
        if mail.way != "queued":
            kinds += ("session",)
        if gate.killed_between(began, replied, kinds):
            return "the remote's final dot was not yet answered"
        if any(began <= until and since <= replied + 0.05 for since, until in remote.ends):
            return "the remote went away before its reply"
        # Of an attempt that another followed, since a kill took its answer away.
        for sent, answered, code in mail.attempts[:-1]:
            assert code // 100 not in (2, 5)
            if sent <= began and gate.was_away(sent, answered + NOTICED_S):
                return "the client's own dot was not answered, and it tried again"
        record_s = RECORD_S + 2 * self.disk.stood_still(replied, replied + 2)
        later = gate.killed_between(replied, replied + record_s, kinds[:3])
        if later:
            self.gaps.append(1000 * max(0.0, later[0][0] - replied))
            return "the remote's answer was not yet recorded"
        return None

    def account(self):
        """The proof. Every problem is told, not only the first."""
        problems, told = [], self.told()
        aside = self.aside(self.gates["direct"])
        for client in self.clients:
            for mail in client.mails:
                self.account_mail(mail, told, aside, problems)
        return problems

    def account_mail(self, mail, told, aside, problems):
        self.counts["mails"] += 1
        self.counts[f"answered {mail.code}" if mail.code else "without an answer"] += 1
        for recipient in mail.recipients:
            copies = self.copies(mail.subject, recipient)
            refused = REFUSED.match(recipient) is not None
            known = (mail.subject, recipient) in told or aside[recipient] > 0
            if mail.code // 100 == 2 and recipient not in mail.refused:
                self.counts["recipients answered 250"] += 1
                if not copies and not known:
                    problems.append(f"LOST {mail.subject} {recipient} {mail.attempts}")
                self.counts["told of by a DSN"] += (mail.subject, recipient) in told
                self.counts["put aside as undeliverable"] += aside[recipient] > 0
            if mail.code // 100 == 5 and copies:
                problems.append(f"REFUSED AND DELIVERED {mail.subject} {recipient} {copies}")
            if refused and copies:
                problems.append(f"{recipient} was refused and is there")
            site = recipient.partition("@")[2]
            beside = any(refuses(r, "e") and r.endswith("@" + site) for r in mail.recipients)
            if not refused and known and not beside:  # one reply to the dot is for all
                problems.append(f"TOLD OF, THOUGH NOBODY REFUSED IT {mail.subject} {recipient}")
            for copy in copies[:-1]:
                why = self.cause(mail, copy)
                self.counts[f"second copies: {why}"] += 1
                if why is None:
                    problems.append(f"TWICE {mail.subject} {recipient} {mail.way} "
                                    f"{[c[:2] for c in copies]} "
                                    f"{mail.attempts} kills "
                                    f"{self.gates[mail.gate].near(copies)}\n"
                                    f"{self.gates[mail.gate].logged(recipient)}")

    def close(self):
        self.stop.set()
        try:
            for gate in self.gates.values():
                gate.one.stop(timeout=60)
        finally:
            for remote in self.remotes.values():
                remote.stop()


def figures(seed, kills, counts, seconds, gaps, disk):
    lines = [f"custody-kill: {kills} kills in {seconds:.0f} s, seed {seed}"]
    lines += [f"custody-kill: {n} {what}" for what, n in sorted(counts.items())]
    lines.append(f"custody-kill: {len(disk.slow)} syncs took more than 100 ms, "
                 f"{1000 * max((b - a for a, b in disk.slow), default=0):.0f} ms at most")
    if gaps:
        lines.append(f"custody-kill: {statistics.median(gaps):.0f} ms (median), {max(gaps):.0f} ms at "
                     "most from a reply to the kill before it was recorded")
    print("\n".join(lines))
    if "POSTERN_FIGURES" in os.environ:
        with open(os.environ["POSTERN_FIGURES"], "a", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")


@pytest.fixture
def world(posternd, nsd, tmp_path):
    nsd.set(ZONES)
    nsd.restart()
    key = tmp_path / "e.pem"
    proc.run(postern.binary("postern"), "dkim", "keygen", "ours.example", "e", "ed25519", key,
             env={**os.environ, **postern.sanitizer_environment()})
    seed = int(os.environ.get("POSTERN_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"POSTERN_SEED={seed}")
    made = World(nsd, key, tmp_path, seed)
    made.seed = seed
    yield made
    made.close()


def prove(world, kills):
    began = time.monotonic()
    world.play(kills)
    world.settle()
    problems = world.account()
    figures(world.seed, kills, world.counts, time.monotonic() - began,
            world.gaps, world.disk)
    assert world.counts["recipients answered 250"] > kills, "the load did not run"
    assert not problems, f"{len(problems)} problems\n" + "\n".join(problems[:20])


@pytest.mark.slow
def test_forty_kills(world):
    prove(world, int(os.environ.get("POSTERN_KILLS", "40")))


@pytest.mark.long
def test_thousand_kills(world):
    prove(world, int(os.environ.get("POSTERN_KILLS", "1000")))

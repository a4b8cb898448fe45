"""fanout.py [OPTION...]: run by the command fanout.

  --rounds N      rounds, the systems in turn within each (1)
  --recipients N  recipients in all (10000)
  --alone         Postern without its peer

Of the 500 sites 400 are fine, 40 have no mailbox for each fourth recipient, 40 answer the final dot
after two seconds, and 20 are dead (they refuse connections). First one mail goes to all recipients, then a mail to each. Postern runs `send direct`.
A round has no figures unless each recipient that can be reached has the mail once, each refused
one was told of once, by a reply or by a DSN, and nobody else.
"""
import argparse
import collections
import email
import pathlib
import re
import socket
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from lab import dns, postern, proc  # noqa: E402
from lab.postfix import Postfix  # noqa: E402
import bench  # noqa: E402
import measure  # noqa: E402
import relay  # noqa: E402
import remotes  # noqa: E402
import sites  # noqa: E402
import systems  # noqa: E402

SITES, SESSIONS = 500, 20
CLIENT = "192.0.2.64"
SENDER = "alice@s0.senders.example"
ARRIVED_S, NOTICES_S = 300, 60


def options(words):
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--recipients", type=int, default=10000)
    parser.add_argument("--alone", action="store_true")
    return parser.parse_args(words)


def kind_of(i):
    """400 fine, 40 that refuse some, 40 slow and 20 dead of 500."""
    place = i % 25
    return ("fine" if place < 20 else "refusing" if place < 22 else "slow" if place < 24
            else "dead")


KINDS = [kind_of(i) for i in range(SITES)]


def kind_of_rcpt(number):
    kind = KINDS[number % SITES]
    return "live" if kind == "refusing" and not sites.refuses(number) \
        else "live" if kind in ("fine", "slow") else kind


def numbers(chosen, kind):
    return {n for n in range(chosen.recipients) if kind_of_rcpt(n) == kind}


class OurGate:
    name, address = "Postern", "192.0.2.55"

    def __init__(self, folder, zone):
        self.gate = postern.Postern(
            relay.CONFIG.format(spool=folder / "fanout", address=self.address, way="direct")
            .replace("limits {", "limits { recipients 10000"), {"trust.key": zone.trust_file})
        self.gate.start()

    def stop(self):
        self.gate.stop(60)


class Peer:
    """Postfix by MX. Its queue is on the disk too; it retries as it does by default."""

    name, address = "Postfix", "192.0.2.56"

    def __init__(self, folder, _zone):
        root = relay.postfix_root("fanout", folder)
        self.peer = Postfix("fanout", self.address, networks=("192.0.2.0/24",), root=root, main={
            "virtual_mailbox_domains": "", "smtpd_recipient_limit": "10000",
            "queue_run_delay": "300s", "minimal_backoff_time": "300s",
            "maximal_backoff_time": "4000s", **systems.RELAY})
        self.peer.start()

    def stop(self):
        self.peer.stop()


class Client:
    """One connection, commands pipelined."""

    def __init__(self, address):
        self.socket = socket.create_connection((address, 25), 10, (CLIENT, 0))
        self.socket.settimeout(ARRIVED_S)
        self.input = self.socket.makefile("rb")
        self.reply()

    def reply(self):
        while True:
            line = self.input.readline()
            if len(line) < 4:
                raise measure.Wrong("the connection was closed")
            if line[3:4] != b"-":
                return line.decode("ascii", "replace").strip()

    def say(self, *lines):
        self.socket.sendall("".join(f"{line}\r\n" for line in lines).encode("ascii"))

    def mail(self, rcpts):
        """(replies to RCPT that were not 250, reply to the dot)."""
        self.say("EHLO s0.senders.example")
        self.reply()
        self.say(f"MAIL FROM:<{SENDER}>")
        self.reply()
        refused = []
        for first in range(0, len(rcpts), 500):
            part = rcpts[first:first + 500]
            self.say(*(f"RCPT TO:<{r}>" for r in part))
            refused += [said for said in (self.reply() for _ in part) if said[:3] != "250"]
        self.say("DATA")
        self.reply()
        self.say(f"From: <{SENDER}>", "To: all of you:;", "Subject: news",
                 "Date: Sun, 29 Nov 2026 03:00:00 +0000", "Message-ID: <fanout@senders.example>",
                 "", *("What there is to be said, in as many words as it takes." for _ in range(60)),
                 ".")
        said = self.reply()
        self.say("QUIT")
        self.socket.close()
        return refused, said


def told_by_notices(files):
    """Counter of the recipients that DSNs name as failed, and how many DSNs there are."""
    told, n = collections.Counter(), 0
    for path in files:
        message = email.message_from_bytes(path.read_bytes())
        if message.get_content_type() != "multipart/report":
            raise measure.Wrong(f"what came to the sender is no report: {path.read_bytes()[:300]}")
        n += 1
        status = next(part for part in message.walk()
                      if part.get_content_type() == "message/delivery-status")
        for block in status.get_payload():
            found = re.search(r"r(\d+)@", block.get("Final-Recipient") or "")
            if found and (block.get("Action") or "").strip().lower() == "failed":
                told[int(found[1])] += 1
    return told, n


class Outcome:
    """Of one phase, looked at until all is there that can be."""

    def __init__(self, chosen, far, since, refused_at_once):
        live = numbers(chosen, "live")
        wanted = numbers(chosen, "refusing") - refused_at_once
        try:
            proc.wait_until(lambda: self._arrived(far, since) >= len(live), "live recipients",
                            ARRIVED_S, 0.5)
        except proc.LabError:
            pass
        got = collections.Counter(int(r[1:]) for _, _, rcpts in far.taken(since) for r in rcpts)
        if got != collections.Counter(live):
            raise measure.Wrong(f"{len(live) - len(got)} live recipients have no mail, "
                                f"{sum(got.values()) - len(got)} have it more than once")
        try:
            proc.wait_until(lambda: len(told_by_notices(far.notices())[0]) >= len(wanted),
                            "notices", NOTICES_S, 0.5)
        except proc.LabError:
            pass
        time.sleep(1)  # for one too many
        told, self.notices = told_by_notices(far.notices())
        if told != collections.Counter(wanted):
            raise measure.Wrong(f"{len(wanted - set(told))} refused recipients were not told of, "
                                f"{len(set(told) - wanted)} were that should not, "
                                f"{sum(told.values()) - len(told)} more than once")
        for path in far.notices():
            path.unlink()
        taken = far.taken(since)
        self.transactions = len(taken)
        self.last_s = max(when for when, _, _ in taken) - since
        self.live, self.refused, self.avoided = len(live), len(wanted), len(refused_at_once)

    @staticmethod
    def _arrived(far, since):
        return sum(len(rcpts) for _, _, rcpts in far.taken(since))


def one_mail(chosen, system, far):
    since = time.time()
    refused, said = Client(system.address).mail(
        [f"r{n}@d{n % SITES}.example.com" for n in range(chosen.recipients)])
    answered = time.time() - since
    if refused or said[:3] != "250":
        raise measure.Wrong(f"{len(refused)} recipients were refused, the mail was answered {said}")
    outcome = Outcome(chosen, far, since, set())
    outcome.answered_s, outcome.said = answered, said
    return outcome


def single_mails(chosen, system, far):
    out = proc.LAB / "load.out"
    since = time.time()
    words = [measure.program("bench_load"), "-a", system.address, "-o", out, "-t", ARRIVED_S,
             "-c", SESSIONS, "-k", 50, "-n", chosen.recipients, "-s", CLIENT, "-D", SITES]
    seconds = float(proc.run(*words, timeout=ARRIVED_S + 60).stdout.split()[0])
    codes = [int(line.split()[1]) for line in out.read_text().splitlines()]
    refused = {n for n, code in enumerate(codes) if code == 550}
    counted = collections.Counter(codes)
    if set(counted) - {250, 550} or refused - numbers(chosen, "refusing"):
        raise measure.Wrong(f"mails were answered {dict(counted)}")
    outcome = Outcome(chosen, far, since, refused)
    outcome.answered_s, outcome.said = seconds, str(dict(counted))
    return outcome


PHASES = {"one mail": one_mail, "single mails": single_mails}


def report(chosen, found):
    print(f"fanout: {chosen.recipients} recipients at {SITES} sites ("
          + ", ".join(f"{n} {kind}" for kind, n in collections.Counter(KINDS).items()) + ")")
    print(f"{'':14}{'system':9}{'transactions':>13}{'last live s':>12}{'answered s':>11}"
          f"{'DSNs':>6}{'told':>6}{'DSNs avoided':>13}  replies")
    for (phase, name), each in found.items():
        for o in each:
            print(f"{phase:14}{name:9}{o.transactions:13}{o.last_s:12.2f}{o.answered_s:11.2f}"
                  f"{o.notices:6}{o.refused:6}{o.avoided:13}  {o.said}")
        o = each[-1]
        bench.figure(f"fanout, {phase}, {name}",
                     f"{statistics.median(o.last_s for o in each):.2f} s",
                     f"until the last of {o.live} live recipients; {o.transactions} transactions, "
                     f"{o.notices} DSNs, {o.avoided} avoided by the reply")
    for phase in PHASES:
        if (phase, Peer.name) in found:
            mine, theirs = (statistics.median(o.last_s for o in found[phase, name])
                            for name in (OurGate.name, Peer.name))
            print(f"{phase}: Postern needs {mine / theirs:.2f} of Postfix's time")


def run(chosen, zone):
    far = remotes.Remotes(KINDS)
    running = []
    found = collections.defaultdict(list)
    try:
        with relay.disk() as folder:
            try:
                running.append(OurGate(folder, zone))
                if not chosen.alone:
                    running.append(Peer(folder, zone))
                for number in range(chosen.rounds):
                    for phase, play in PHASES.items():
                        for system in running if number % 2 == 0 else running[::-1]:
                            found[phase, system.name].append(play(chosen, system, far))
            finally:
                for system in running:
                    system.stop()
        report(chosen, found)
    finally:
        far.stop()


def main():
    chosen = options(sys.argv[1:])
    zone = dns.Dns(remotes.zones(SITES)).start()
    try:
        run(chosen, zone)
    except measure.Wrong as e:
        print(f"fanout: no figures: {e}")
        return 1
    finally:
        zone.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

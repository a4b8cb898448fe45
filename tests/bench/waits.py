"""waits.py [OPTION...]: run by the command waits.

  --rounds N    rounds, `send direct` and `send queued` in turn within each (3)
  --mails N     mails a round (5000)
  --alone       without Postfix in front: the load comes straight to Postern

The mails wait in Postfix's queue until all are there; the clock runs from their release until
Postern has taken the last. Then every one of them has to reach its site, once. A remote answers
the dot after 1 s (half of the mails), 5 s (30 %) or 20 s (20 %).
"""
import argparse
import collections
import pathlib
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
import systems  # noqa: E402

AIM = 0.5
SITES, SESSIONS = 50, 20
GATE, FRONT = "192.0.2.51", "192.0.2.52"
WAYS = ("direct", "queued")
TAKEN_S, ARRIVED_S = 300, 300


def options(words):
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mails", type=int, default=5000)
    parser.add_argument("--alone", action="store_true")
    return parser.parse_args(words)


class Front:
    """A Postfix that relays everything to Postern, when it is let go."""

    def __init__(self):
        self.peer = Postfix("front", FRONT, networks=("192.0.2.0/24",), relayhost=f"[{GATE}]:25",
                            main={"virtual_mailbox_domains": "", "defer_transports": "smtp",
                                  "smtp_destination_concurrency_limit": str(SESSIONS),
                                  "maximal_backoff_time": "4000s", "minimal_backoff_time": "3000s",
                                  "queue_run_delay": "3000s", **systems.RELAY})
        self.peer.start()

    def _hold(self, transports):
        self.peer.root.run("postconf", "-c", self.peer.config, f"defer_transports={transports}")
        self.peer.root.run("postfix", "-c", self.peer.config, "reload")

    def fill(self, load, n):
        self._hold("smtp")
        send(FRONT, load)
        proc.wait_until(lambda: len(self.peer.queue()) == n
                        and "active" not in "".join(self.peer.queue()),
                        "all mails in Postfix's queue", 120, 0.5)

    def release(self):
        self._hold("")
        self.peer.flush()

    def stop(self):
        self.peer.stop()


def send(address, load):
    """Seconds; every mail was answered 250."""
    out = proc.LAB / "load.out"
    words = [measure.program("bench_load"), "-a", address, "-o", out, "-t", str(TAKEN_S), *load]
    seconds = float(proc.run(*words, timeout=TAKEN_S + 60).stdout.split()[0])
    codes = collections.Counter(line.split()[1] for line in out.read_text().splitlines())
    if set(codes) != {"250"}:
        raise measure.Wrong(f"mails were answered {dict(codes)}")
    return seconds


class Taken:
    """Reads what Postern says of mails that it has taken, as it is written."""

    def __init__(self, gate):
        self.log = open(gate.log_path, "rb")
        self.ends = collections.Counter()

    def count(self):
        for line in self.log:
            if b" event=mail " in line and b" decision=accept " in line:
                found = postern.parse_event(line.decode())
                self.ends[found.get("end", "?")] += 1
        return sum(self.ends.values())


def one_round(chosen, way, number, folder, zone, far, front):
    """Seconds until all is taken."""
    gate = postern.Postern(
        relay.CONFIG.format(spool=folder / f"{way}{number}", address=GATE, way=way),
        {"trust.key": zone.trust_file})
    load = [str(word) for word in (
        "-c", SESSIONS, "-k", 50, "-n", chosen.mails, "-d", systems.SENDERS, "-s",
        f"192.0.2.{systems.FIRST}", "-D", SITES, "-r", 2 * number + WAYS.index(way))]
    if front is not None:
        front.fill(load, chosen.mails)
    gate.start()
    try:
        taken, since = Taken(gate), time.time()
        if front is not None:
            front.release()
        else:
            send(GATE, load)
        proc.wait_until(lambda: taken.count() >= chosen.mails, "all mails at Postern", TAKEN_S)
        seconds = time.time() - since
        print(f"round {number + 1} send {way:8}{seconds:8.2f} s {chosen.mails / seconds:7.0f} "
              f"mails/s, answered {dict(taken.ends)}", flush=True)
        arrived(chosen, far, since)
    finally:
        gate.stop(60)
    return seconds


def arrived(chosen, far, since):
    """All of them reached their sites, once."""
    try:
        proc.wait_until(lambda: len(far.taken(since)) >= chosen.mails, "the mails at the sites",
                        ARRIVED_S, 0.5)
    except proc.LabError:
        pass
    got = collections.Counter(r for _, _, rcpts in far.taken(since) for r in rcpts)
    if got != collections.Counter(f"r{i}" for i in range(chosen.mails)):
        raise measure.Wrong(f"{chosen.mails - len(got)} mails did not reach their site, "
                            f"{sum(got.values()) - len(got)} did more than once")


def report(chosen, found):
    rates = {way: statistics.median(chosen.mails / s for s in found[way]) for way in WAYS}
    ratio = rates["direct"] / rates["queued"]
    print(f"send direct takes {rates['direct']:.0f} mails/s, send queued {rates['queued']:.0f}: "
          f"ratio {ratio:.2f}; aim {AIM}: {'met' if ratio >= AIM else 'NOT met'}")
    bench.figure("waits, ratio", f"{ratio:.2f}",
                 f"mails/s taken with send direct of those with send queued, {chosen.mails} mails, "
                 f"{SESSIONS} sessions of Postfix, remotes that answer after 1, 5 and 20 s")


def run(chosen, zone):
    far = remotes.Remotes(["waits"] * SITES)
    front = None
    try:
        if not chosen.alone:
            front = Front()
        found = {way: [] for way in WAYS}
        print(f"waits: {chosen.mails} mails, {SESSIONS} sessions, {SITES} sites")
        with relay.disk() as folder:
            for number in range(chosen.rounds):
                for way in WAYS if number % 2 == 0 else WAYS[::-1]:
                    found[way].append(one_round(chosen, way, number, folder, zone, far, front))
        report(chosen, found)
    finally:
        if front is not None:
            front.stop()
        far.stop()


def main():
    chosen = options(sys.argv[1:])
    zone = dns.Dns(remotes.zones(SITES)).start()
    try:
        run(chosen, zone)
    except measure.Wrong as e:
        print(f"waits: no figures: {e}")
        return 1
    finally:
        zone.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

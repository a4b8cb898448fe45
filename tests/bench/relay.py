"""relay.py [OPTION...]: run by the command relay.

  --rounds N    rounds, systems in turn within each (3)
  --mails N     mails a round (5000)
  --sessions N  sessions at once (20)
  --per N       mails a connection (50)
  --bytes N     size of a mail (4096)
  --alone       Postern without its peer
  --ways W,...  which of Postern's ways: queued,direct
  --profile     one more round of Postern's first way under perf, and its hottest functions

A mail counts when it is at the sink: rates are of the time from the first connection to the last
mail's arrival. Both queues are on one file system of a real disk, both logs on a tmpfs, and every
250 stands for what was synced (or, `send direct`, for what the sink has taken).
"""
import argparse
import contextlib
import pathlib
import shutil
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from lab import dns, postern, proc  # noqa: E402
from lab.postfix import Postfix  # noqa: E402
from lab.root import Root  # noqa: E402
import bench  # noqa: E402
import measure  # noqa: E402
import systems  # noqa: E402

FASTER, CPU_SHARE = 5.0, 1 / 8
AIM_BYTES = 4096
QUEUED, DIRECT, POSTFIX = "queued", "direct", "Postfix"
CONFIG = """\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{spool}"
listen outbound on "{address}:25" from {{ 192.0.2.0/24 }}
domain "ours.example" deliver to "192.0.2.1:25"
send {way}
limits {{ connections 20000 per client 10000 }}
outbound {{ accept }}
"""


def options(words):
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mails", type=int, default=5000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--per", type=int, default=50)
    parser.add_argument("--bytes", type=int, default=4096)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--ways", default=f"{QUEUED},{DIRECT}")
    parser.add_argument("--profile", action="store_true")
    chosen = parser.parse_args(words)
    chosen.ways = chosen.ways.split(",")
    return chosen


@contextlib.contextmanager
def disk():
    """A folder for queues on the disk of the build; nothing of it stays."""
    base = proc.build_dir() / "queues"
    base.mkdir(exist_ok=True)
    path = pathlib.Path(tempfile.mkdtemp(dir=base))
    path.chmod(0o755)
    kind = proc.run("stat", "-f", "-c", "%T", path).stdout.strip()
    if kind in ("tmpfs", "overlayfs"):
        raise measure.Wrong(f"the queues would be on a {kind}, where a sync costs nothing")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Postern(systems.System):
    def __init__(self, way, number, folder, trust_file):
        super().__init__("Postern " + way, number)
        send = {QUEUED: f'queued smarthost "{self.sink_address}:25"', DIRECT: "direct"}[way]
        self.gate = postern.Postern(
            CONFIG.format(spool=folder / way, address=self.address, way=send),
            {"trust.key": trust_file})
        with self.group:
            self.gate.start()

    def stop(self):
        try:
            self.gate.stop(60)
        finally:
            super().stop()


def postfix_root(name, folder):
    """Where Postfix is installed, the queue of the instance of that name being on the disk."""
    root = Root.get("postfix", "postfix")
    spool, on_disk = root.file(f"/var/spool/postfix-{name}"), folder / f"postfix-{name}"
    for path in (spool, on_disk):
        path.mkdir(parents=True)
    proc.run("mount", "--bind", on_disk, spool)
    return root


class PostfixRelay(systems.System):
    """Debian's settings; its queue is mounted from the disk."""

    def __init__(self, number, folder):
        super().__init__(POSTFIX, number)
        root = postfix_root("relay", folder)
        self.peer = Postfix("relay", self.address, root=root, networks=("192.0.2.0/24",),
                            relayhost=f"[{self.sink_address}]:25",
                            main={"virtual_mailbox_domains": "", **systems.RELAY})
        with self.group:
            self.peer.start()

    def quiet(self):
        return not self.peer.queue()

    def stop(self):
        self.peer.stop()
        super().stop()


def zones(record, sink):
    found, pointers = systems.zones(record)
    found["example.com"] = f"@ MX 10 mx\nmx A {sink}\n"
    return found, pointers


def medians(one):
    through = statistics.median(r.mails / r.through_s for r in one)
    return [statistics.median(r.cpu_ms for r in one), through,
            statistics.median(r.rate for r in one), statistics.median(r.pss_mb for r in one)]


def table(chosen, found):
    print(f"relay: {chosen.rounds} rounds of {chosen.mails} mails of {chosen.bytes} bytes, "
          f"{chosen.sessions} sessions, {chosen.per} mails a connection")
    print(f"{'':8}{'system':18}{'CPU s/1000':>11}{'mails/s':>9}{'taken/s':>9}{'PSS MB':>8}")
    for name, each in found.items():
        for number, r in enumerate(each, 1):
            print(f"round {number:<2}{name:18}{r.cpu_ms:11.3f}{r.mails / r.through_s:9.0f}"
                  f"{r.rate:9.0f}{r.pss_mb:8.1f}")
    for name, each in found.items():
        cpu, through, taken, pss = medians(each)
        print(f"{'median':8}{name:18}{cpu:11.3f}{through:9.0f}{taken:9.0f}{pss:8.1f}")
    for name, each in found.items():
        last = sorted(each[-1].parts.items(), key=lambda part: -part[1])
        print(f"where it goes, {name}, CPU s/1000 in the last round: "
              + ", ".join(f"{part} {ms:.3f}" for part, ms in last if ms >= 0.001))


def report(chosen, found):
    table(chosen, found)
    theirs = medians(found[POSTFIX]) if POSTFIX in found else None
    for name, each in found.items():
        cpu, through, _, pss = medians(each)
        bench.figure(f"relay, {name}", f"{through:.0f} mails/s",
                     f"until at the sink, {chosen.sessions} sessions, {chosen.bytes} bytes; "
                     f"{cpu:.3f} CPU s/1000, {pss:.0f} MB")
        if theirs is None or name == POSTFIX:
            continue
        faster, share = through / theirs[1], cpu / theirs[0]
        print(f"{name}: {faster:.2f} times Postfix's mails/s, {share:.3f} of its CPU")
        bench.figure(f"relay, {name}, ratio", f"{faster:.2f}",
                     f"times Postfix's mails/s, {share:.3f} of its CPU")
        if name.endswith(QUEUED) and chosen.bytes == AIM_BYTES:
            print(f"aim {FASTER:g} times the mails/s: {'met' if faster >= FASTER else 'NOT met'}; "
                  f"aim {CPU_SHARE:g} of the CPU: {'met' if share <= CPU_SHARE else 'NOT met'}")


def start(chosen, folder, trust_file, number):
    running = [Postern(way, number + i, folder, trust_file)
               for i, way in enumerate(chosen.ways)]
    if not chosen.alone:
        running.append(PostfixRelay(number + len(chosen.ways), folder))
    return running


def run(chosen, zone, number=47):
    """The zone's example.com is at the sink of `direct`."""
    with disk() as folder:
        running = start(chosen, folder, zone.trust_file, number)
        load = ["-c", chosen.sessions, "-k", chosen.per, "-n", chosen.mails, "-b", chosen.bytes,
                "-d", systems.SENDERS, "-s", f"192.0.2.{systems.FIRST}"]
        load = [str(word) for word in load]
        try:
            found = bench.rounds(chosen, running, load)
            if chosen.profile:
                bench.profile(running[0], load)
        finally:
            for system in running:
                system.stop()
    report(chosen, found)


def main():
    chosen = options(sys.argv[1:])
    _, record = systems.make_key()
    number = 47
    direct = number + chosen.ways.index(DIRECT) if DIRECT in chosen.ways else number
    zone = dns.Dns(*zones(record, f"198.51.100.{direct}")).start()
    try:
        run(chosen, zone, number)
    except measure.Wrong as e:
        print(f"relay: no figures: {e}")
        return 1
    finally:
        zone.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""queue100k.py [OPTION...]: run by the command queue100k.

  --mails N   queued to the dead destination (100000)
  --bytes N   size of each (2000)
  --live N    mails to a live destination, one after the other (20)
  --idle S    seconds in which nothing happens but the keeper's rounds (30)

Memory is the keeper's proportional set size with all mails queued, less that with none, for each
mail. The restart is timed from the start of posternd to its event `ready`, which the keeper gives
when every mail stands in the schedule again.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from lab import dns, postern, proc, smtp  # noqa: E402
import measure  # noqa: E402

SUBMIT, LIVE, DEAD, CLIENT = "192.0.2.190", "198.51.100.190", "198.51.100.191", "192.0.2.110"
SITE = "dead.many.example"
ZONES = {"many.example": f"dead MX 10 mxdead\nmxdead A {DEAD}\nlive MX 10 mxlive\nmxlive A {LIVE}\n"}
CONFIG = """\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{spool}"
listen outbound on "{submit}:25" from {{ 192.0.2.64/26 }}
send queued
outbound {{ accept }}
"""
AIM_LIVE_S, AIM_READY_S, AIM_BYTES = 1.0, 2.0, 200


class Gate:
    """A gateway with a spool, and what is asked of it."""

    def __init__(self, trust_file, spool):
        self.spool = spool
        self.one = postern.Postern(CONFIG.format(spool=spool, submit=SUBMIT),
                                   {"trust.key": trust_file})

    def start(self):
        self.one.log_path.unlink(missing_ok=True)
        began = time.monotonic()
        self.one.start()
        return time.monotonic() - began

    def keeper(self):
        return next(pid for pid, name in self.one.processes().items() if name.startswith("keeper"))

    def pss(self):
        """Of the keeper, in bytes."""
        return 1024 * measure.pss_kb(self.keeper())

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.keeper()}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def fill(self, mails, size):
        """Not while it runs. The files belong to the gateway's account then, as its own do."""
        proc.run(measure.program("queue_fill"), self.spool, mails, size, SITE, timeout=300,
                 env={**os.environ, **postern.sanitizer_environment()})
        owner = self.spool.stat()
        for path in self.spool.iterdir():
            os.chown(path, owner.st_uid, owner.st_gid)

    def queue(self, *words):
        """(seconds, what it said)"""
        began = time.monotonic()
        done = subprocess.run([postern.binary("postern"), "-f", self.one.config, "queue", *words],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=300,
                              check=False,
                              env={**os.environ, **postern.sanitizer_environment()})
        if done.returncode != 0:
            raise measure.Wrong(f"postern queue {' '.join(words)}: {done.stderr.decode()}")
        return time.monotonic() - began, done.stdout.decode()

    def live(self, number, sink):
        """Seconds from the client's first byte to the mail at its destination."""
        recipient = f"to{number}@live.many.example"
        began = time.monotonic()
        with smtp.Client(SUBMIT, source=CLIENT) as client:
            said = client.mail("ann@ours.example", [recipient], smtp.message("live"))
        if said.last.code != 250:
            raise measure.Wrong(f"a mail to the live destination was answered {said.last}")
        proc.wait_until(lambda: any(recipient in m.recipients for m in sink.mails),
                        "the mail at the live destination", 60, 0.002)
        return time.monotonic() - began


def run(trust_file, spool, mails, size, live, idle_s):
    """Figures by name. Wrong where what is queued is not what was put there."""
    gate, found = Gate(trust_file, spool), {}
    try:
        gate.start()
        empty = gate.pss()
        gate.one.stop()
        gate.fill(mails, size)
        found["ready_s"] = gate.start()
        with smtp.Server(LIVE) as sink:
            times = [gate.live(i, sink) for i in range(live)]
        found["live_p50_s"], found["live_max_s"] = statistics.median(times), max(times)
        before, began = gate.cpu_s(), time.monotonic()
        time.sleep(idle_s)
        found["idle_cpu"] = (gate.cpu_s() - before) / (time.monotonic() - began)
        found["bytes_a_mail"] = (gate.pss() - empty) / mails
        found["list_s"], text = gate.queue("list", "--json", "--destination", SITE)
        ids = [json.loads(line)["id"] for line in text.splitlines()]
        if len(ids) != mails or len(set(ids)) != mails:
            raise measure.Wrong(f"{mails} mails were put there, {len(set(ids))} are listed")
        found["summary_s"], _ = gate.queue()
        found["why_s"], text = gate.queue("why", ids[mails // 2])
        if SITE not in text:
            raise measure.Wrong(f"why does not speak of {SITE}: {text}")
        found["why"] = text
    finally:
        gate.one.stop(60)
    return found


def lines(mails, size, f):
    def met(value, aim):
        return "met" if value <= aim else "missed"
    return [
        f"queue100k: {mails} mails of {size} bytes queued to a dead destination",
        f"queue100k: a mail to a live one arrives after {1000 * f['live_p50_s']:.0f} ms (p50), "
        f"{1000 * f['live_max_s']:.0f} ms at most (aim 1 s: {met(f['live_max_s'], AIM_LIVE_S)})",
        f"queue100k: restarted in {f['ready_s']:.2f} s (aim 2 s: {met(f['ready_s'], AIM_READY_S)})",
        f"queue100k: {f['bytes_a_mail']:.0f} bytes of the keeper's memory a mail "
        f"(aim {AIM_BYTES}: {met(f['bytes_a_mail'], AIM_BYTES)})",
        f"queue100k: {100 * f['idle_cpu']:.2f} % of a core while nothing happens",
        f"queue100k: postern queue list {f['list_s']:.2f} s, the summary {f['summary_s']:.2f} s, "
        f"why {f['why_s']:.3f} s",
    ]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--mails", type=int, default=100000)
    parser.add_argument("--bytes", type=int, default=2000)
    parser.add_argument("--live", type=int, default=20)
    parser.add_argument("--idle", type=float, default=30)
    chosen = parser.parse_args()
    server = dns.Dns(ZONES, {}).start()
    base = proc.build_dir() / "queues"
    base.mkdir(exist_ok=True)
    home = pathlib.Path(tempfile.mkdtemp(dir=base))
    home.chmod(0o755)
    try:
        found = run(server.trust_file, home / "spool", chosen.mails, chosen.bytes, chosen.live,
                    chosen.idle)
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
    said = lines(chosen.mails, chosen.bytes, found)
    print("\n".join(said))
    if "POSTERN_FIGURES" in os.environ:
        with open(os.environ["POSTERN_FIGURES"], "a", encoding="utf-8") as f:
            f.write("\n".join(said) + "\n")


if __name__ == "__main__":
    main()

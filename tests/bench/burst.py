"""burst.py [OPTION...]: run by milter_burst. The milter under many sessions, and over many mails.

  --rounds N      bursts of each system, in turn (5)
  --sessions N    sessions of a burst (300)
  --ms N          what the DNS takes for an answer (100)
  --flow N        sessions with mail at once (1000), each of 20 mails
  --mails N       mails over which memory must be flat (200000)
  --through       the front of libmilter, too

A burst: all sessions stand and have been quiet for a second, then each has one mail whose SPF
record takes its time. Memory is flat if no process, and not all of them together, has grown by
more than GROWN_MB between the second and the last mark.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from lab import dns, postern, proc  # noqa: E402
from bench import figure  # noqa: E402
import measure  # noqa: E402
import systems  # noqa: E402

AIM_S, GROWN_MB, QUIET_S, FLOW_PER = 0.5, 2.0, 1.0, 20
SLOW = "192.0.2.54"
SPF_RULES = "inbound {\n    reject if spf is fail\n    accept\n}\n"
NATIVE, THROUGH, PLAIN = "Postern", "Postern through libmilter", "a libmilter filter that waits"
WORDS = ("spf=pass", "dkim=pass", "dmarc=pass")


def options(words):
    parser = argparse.ArgumentParser(usage=__doc__)
    for name, value in (("rounds", 5), ("sessions", 300), ("ms", 100), ("flow", 1000),
                        ("mails", 200000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--through", action="store_true")
    return parser.parse_args(words)


def load(socket, words, at=lambda word, count: None):
    """Runs bench_milter; at(word, count) is called when it waits. Returns its last line's values.

    Wrong unless every mail was answered as it must be.
    """
    command = [measure.program("bench_milter"), "-u", socket, *words]
    with subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as running:
        for line in running.stdout:
            found = line.split()
            if found[0] in ("ready", "mark"):
                at(found[0], int(found[1]))
                running.stdin.write("\n")
                running.stdin.flush()
    if running.returncode != 0:
        raise measure.Wrong("the load broke off")
    result = {name: float(value) for name, value in zip(found[::2], found[1::2])}
    if result["wrong"]:
        raise measure.Wrong(f"answers were wrong: {line.strip()}")
    return result


class Gate:
    """Postern as a milter on a socket of its own."""

    def __init__(self, name, rules, trust_file, options="", resolver=systems.RESOLVER,
                 environment=None):
        self.socket = proc.LAB / f"{name}.sock"
        self.gate = postern.Postern(
            systems.milter_config(rules, f"unix:{self.socket}", options, resolver),
            {"trust.key": trust_file, "signatures/bench.ndb": systems.SIGNATURE}, environment)

    def __enter__(self):
        self.gate.start()
        return self

    def __exit__(self, kind, *_):
        self.gate.stop(60)

    def memory_mb(self):
        """{(process, name): PSS}."""
        return {(pid, name): measure.pss_kb(pid) / 1024
                for pid, name in self.gate.processes().items()}


class PlainFilter:
    """What a filter has to do that stands on libmilter alone: its callback waits."""

    def __init__(self, ms):
        self.socket, self.ms = proc.LAB / "plain.sock", ms

    def __enter__(self):
        self.process = subprocess.Popen([measure.program("bench_libmilter"),
                                         f"unix:{self.socket}", str(self.ms)])
        proc.wait_until(self.socket.exists, "the plain filter's socket")
        return self

    def __exit__(self, *_):
        proc.stop(self.process, "bench_libmilter", 20)
        self.socket.unlink(missing_ok=True)


class SlowDns:
    """One whose answers always take as long, however many are asked for at once."""

    def __init__(self, ms):
        self.words = [measure.program("bench_dns"), SLOW, str(ms), "v=spf1 ip4:192.0.0.0/16 -all"]

    def __enter__(self):
        self.process = subprocess.Popen(self.words)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


def burst(chosen, zone):
    """{system: [seconds until all are answered, ...]}; each burst meets a filter just started."""
    kinds = {NATIVE: "", **({THROUGH: "through libmilter"} if chosen.through else {})}
    found = {name: [] for name in (*kinds, PLAIN)}
    words = ["-c", chosen.sessions, "-n", chosen.sessions, "-k", 1, "-d", chosen.sessions,
             "-x", "spf=pass", "-H"]
    with SlowDns(chosen.ms):
        for number in range(chosen.rounds):
            for name in found if number % 2 else reversed(found):
                with (PlainFilter(chosen.ms) if name == PLAIN else
                      Gate("burst", SPF_RULES, zone.trust_file, kinds[name],
                           f'"{SLOW}:53" insecure')) as gate:
                    result = load(gate.socket, words, lambda *_: time.sleep(QUIET_S))
                found[name].append(result["seconds"])
    what = f"{chosen.sessions} sessions at once, an answer {chosen.ms} ms away"
    for name, seconds in found.items():
        seconds.sort()
        middle = seconds[len(seconds) // 2]
        print(f"burst, {name}: {what}: all answered after {middle:.3f} s "
              f"({seconds[0]:.3f} to {seconds[-1]:.3f})")
        figure(f"milter burst, {name}", f"{middle:.3f} s",
               f"{what}; {seconds[0]:.3f} to {seconds[-1]:.3f} in {len(seconds)} bursts")
    print(f"aim {AIM_S} s: {'met' if found[NATIVE][-1] <= AIM_S else 'NOT met'}")
    return found


def flow(chosen, zone, key, rules=systems.FILTER_RULES, virus_every=100, options_=""):
    """Many sessions, first idle, then each with mail. Returns bytes an idle session takes."""
    memory = []
    words = ["-c", chosen.flow, "-n", chosen.flow * FLOW_PER, "-D", min(chosen.flow, 100) *
             FLOW_PER, "-k", FLOW_PER, "-d", systems.SENDERS, "-K", key, "-v", virus_every, "-H",
             *(word for each in WORDS for word in ("-x", each))]
    with Gate("flow", rules, zone.trust_file, options_) as gate:
        warm = [*words, "-c", 10, "-n", 10 * FLOW_PER]
        warm.remove("-H")
        load(gate.socket, warm)
        memory.append(sum(gate.memory_mb().values()))
        result = load(gate.socket, words,
                      lambda *_: memory.append(sum(gate.memory_mb().values())))
    each = (memory[1] - memory[0]) * 1024 / chosen.flow
    print(f"flow: {chosen.flow} sessions, {FLOW_PER} mails each: {result['accepted']:.0f} "
          f"accepted, {result['refused']:.0f} viruses refused, none otherwise; "
          f"{chosen.flow * FLOW_PER / result['seconds']:.0f} mails/s, the slowest "
          f"{result['slowest']:.0f} ms; an idle session {each:.2f} KiB")
    figure("milter, idle session", f"{each:.2f} KiB", f"PSS of all processes, {chosen.flow}")
    return each


def steady(chosen, zone, key, rules=systems.FILTER_RULES, virus_every=100, environment=None):
    """Memory at marks; Wrong where it has grown."""
    marks = [chosen.mails // 20, chosen.mails // 2, chosen.mails]
    found = []
    words = ["-c", 20, "-n", chosen.mails, "-D", min(2000, chosen.mails), "-k", FLOW_PER,
             "-d", systems.SENDERS, "-K", key, "-v", virus_every, "-t", 3000,
             *(word for each in WORDS for word in ("-x", each)),
             *(word for mark in marks[:-1] for word in ("-m", mark))]
    with Gate("steady", rules, zone.trust_file, environment=environment) as gate:
        result = load(gate.socket, words, lambda *_: found.append(gate.memory_mb()))
        found.append(gate.memory_mb())
    print(f"steady: {chosen.mails} mails in {result['seconds']:.0f} s; PSS in MB after "
          f"{', '.join(map(str, marks))} mails")
    grown = []
    for process in sorted({process for each in found for process in each}):
        row = [each.get(process) for each in found]
        print(f"  {process[1]:20}{process[0]:8}"
              + "".join(f"{mb:9.2f}" if mb is not None else "        -" for mb in row))
        if None not in row:
            grown.append((row[-1] - row[1], process[1]))
    total = [sum(each.values()) for each in found]
    print(f"  {'all':28}" + "".join(f"{mb:9.2f}" for mb in total))
    grown.append((total[-1] - total[1], "all"))
    figure("milter, memory", " ".join(f"{mb:.1f}" for mb in total),
           f"PSS in MB of all processes after {', '.join(map(str, marks))} mails")
    most, who = max(grown)
    if most > GROWN_MB:
        raise measure.Wrong(f"{who} has grown by {most:.2f} MB, more than {GROWN_MB}, between "
                            f"{marks[1]} and {marks[-1]} mails")
    return found


def main():
    chosen = options(sys.argv[1:])
    key, record = systems.make_key()
    zone = dns.Dns(*systems.zones(record)).start()
    try:
        burst(chosen, zone)
        flow(chosen, zone, key)
        steady(chosen, zone, key)
    except measure.Wrong as e:
        print(f"milter_burst: {e}")
        return 1
    finally:
        zone.stop()
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())

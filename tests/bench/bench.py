"""bench.py passthrough|inbound|milter|idle [OPTION...]: run by the commands of the same names.

  --rounds N        rounds, systems in turn within each (5)
  --mails N         mails a round (2000)
  --sessions N      sessions at once (20)
  --per N           mails a connection (50 passthrough, else 20)
  --bytes N         size of a mail (4096)
  --connections N   idle connections (5000)
  --alone           Postern without its peer
  --limits          inbound: beside Postern itself with greylisting, limits and content rules
  --spam            inbound: beside Postern itself with the spam filter
  --through         milter: Postern's front of libmilter, too
  --profile         one more round of Postern under perf, and its hottest functions
"""
import argparse
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from lab import dns, proc  # noqa: E402
import idle  # noqa: E402
import measure  # noqa: E402
import milters  # noqa: E402
import systems  # noqa: E402

AIMS = {"passthrough": 0.15, "inbound": 1.0}
AIM_BYTES, AIM_LOSS = 4096, 3.0
LIMITS = "With-limits"
SPAM = "With-spam"
AIM_SPAM_MS = 0.15
VIRUS_EVERY = 100


def options(words):
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("what", choices=("passthrough", "inbound", "milter", "idle"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mails", type=int, default=2000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--per", type=int)
    parser.add_argument("--bytes", type=int, default=4096)
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--virus-every", type=int, default=VIRUS_EVERY)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--limits", action="store_true")
    parser.add_argument("--spam", action="store_true")
    parser.add_argument("--through", action="store_true")
    parser.add_argument("--profile", action="store_true")
    chosen = parser.parse_args(words)
    chosen.per = chosen.per or (50 if chosen.what == "passthrough" else 20)
    return chosen


def figure(name, value, what):
    """For tests/run, which prints and keeps figures."""
    path = os.environ.get("POSTERN_FIGURES")
    if path:
        with open(path, "a", encoding="utf-8") as f:
            f.write(f"{name}\t{value}\t{what}\n")


def load_words(chosen, key):
    words = ["-c", chosen.sessions, "-k", chosen.per, "-n", chosen.mails, "-b", chosen.bytes,
             "-d", systems.SENDERS, "-s", f"192.0.2.{systems.FIRST}"]
    if chosen.what in ("inbound", "milter"):
        words += ["-v", chosen.virus_every, "-K", key]
    return [str(word) for word in words]


def start(chosen, zone):
    """The systems in the order in which they take turns."""
    if chosen.what == "milter":
        return milters.start(chosen, zone)
    if chosen.what == "inbound":
        mine = systems.Postern(systems.FILTER_RULES, zone.trust_file, marks="sdm")
        peer = systems.PostfixFull
        beside = (systems.LIMIT_RULES, LIMITS) if chosen.limits else \
            (systems.SPAM_RULES, SPAM) if chosen.spam else None
        if beside:
            rules = beside[0].replace("{spool}", str(proc.LAB / "bench-spool"))
            return [mine, systems.Postern(rules, zone.trust_file, number=44, marks="sdm",
                                          name=beside[1])]
    else:
        mine = systems.Postern(systems.RULES, zone.trust_file)
        peer = systems.PostfixPass
    return [mine] if chosen.alone else [mine, peer()]


def rounds(chosen, running, load):
    """{system: [Round, ...]}; the first round's load comes once more before, to warm up."""
    warm = [*load, "-n", str(min(chosen.mails, 200))]
    found = {system.name: [] for system in running}
    for system in running:
        if system.name == LIMITS: # every sender is put off once, and known when it comes again
            for _ in range(2):
                proc.run(measure.program("bench_load"), "-a", system.address, "-r", "9999", "-o",
                         proc.LAB / "load.out", *load, timeout=600)
                time.sleep(1.5)
        measure.Round(system, warm, 0)
    for number in range(1, chosen.rounds + 1):
        for system in running if number % 2 else running[::-1]:
            found[system.name].append(measure.Round(system, load, number))
    return found


def medians(one):
    return [statistics.median(getattr(r, name) for r in one)
            for name in ("cpu_ms", "rate", "pss_mb")]


def table(chosen, found):
    """Per round and in the median; ms for one mail are seconds for 1,000. Returns what of."""
    names = list(found)
    size = f"{chosen.bytes} bytes, {chosen.sessions} sessions, {chosen.per} mails a connection"
    print(f"{chosen.what}: {chosen.rounds} rounds of {chosen.mails} mails of {size}")
    width = max(len(name) for name in names) + 14
    head = "".join(f"{name + ': CPU s/1000':>{width}}{'mails/s':>9}{'PSS MB':>8}"
                   for name in names)
    print(f"{'round':8}{head}")
    rows = [(str(i + 1), [(r.cpu_ms, r.rate, r.pss_mb) for r in each])
            for i, each in enumerate(zip(*found.values()))]
    rows.append(("median", [medians(one) for one in found.values()]))
    for title, cells in rows:
        print(f"{title:8}" + "".join(f"{c[0]:{width}.3f}{c[1]:9.0f}{c[2]:8.1f}"
                                     for c in cells))
    for name, each in found.items():
        last = sorted(each[-1].parts.items(), key=lambda part: -part[1])
        shares = ", ".join(f"{part} {ms:.3f}" for part, ms in last if ms >= 0.001)
        print(f"where it goes, {name}, CPU s/1000 in the last round: {shares}")
    return size


def report(chosen, found):
    size = table(chosen, found)
    mine = medians(found["Postern"])
    what = f"all processes, {size}; medians of {chosen.rounds} rounds"
    figure(f"{chosen.what} CPU", f"{mine[0]:.3f} s/1000", what)
    figure(f"{chosen.what} rate", f"{mine[1]:.0f} mails/s", what)
    figure(f"{chosen.what} memory", f"{mine[2]:.1f} MB", f"PSS of {what}")
    if LIMITS in found:
        other = medians(found[LIMITS])
        for i, name in enumerate(("CPU", "rate")):
            loss = 100 * (other[i] / mine[i] - 1) * (1, -1)[i]
            met = "met" if loss < AIM_LOSS else "NOT met"
            print(f"loss of {name} to greylisting, limits and content rules: {loss:.1f} % (aim "
                  f"below {AIM_LOSS:.0f} %: {met})")
            figure(f"{chosen.what} loss of {name}", f"{loss:.1f} %", "to greylisting, limits and "
                   f"content rules, in the same rounds; {what}")
    if SPAM in found:
        cost = medians(found[SPAM])[0] - mine[0]
        met = "met" if cost <= AIM_SPAM_MS else "NOT met"
        print(f"the spam filter takes {cost:.3f} ms of CPU a mail (aim {AIM_SPAM_MS}: {met})")
        figure(f"{chosen.what} CPU of the spam filter", f"{cost:.3f} s/1000",
               f"all that `spam` costs beside the same rules without it; {what}")
    if "Postfix" in found:
        theirs = medians(found["Postfix"])
        print(f"Postfix takes {theirs[0] / mine[0]:.1f} times the CPU")
        figure(f"{chosen.what} CPU, Postfix", f"{theirs[0]:.3f} s/1000",
               f"in the same rounds: {theirs[0] / mine[0]:.1f} times as much")
    aim = AIMS[chosen.what]
    if chosen.bytes != AIM_BYTES:
        return
    print(f"aim {aim} CPU s/1000: {'met' if mine[0] <= aim else 'NOT met'}")


def profile(system, load):
    """Prints where one more round spends its time, over all processes of the system."""
    data, pids = proc.LAB / "perf.data", ",".join(map(str, system.group.pids()))
    with subprocess.Popen(["perf", "record", "-q", "-F", "2000", "-o", data, "-p", pids]) as perf:
        proc.wait_until(data.exists, "perf")
        measure.Round(system, load, 1000)
        perf.send_signal(signal.SIGINT)
    print(proc.run("perf", "report", "-i", data, "--stdio", "-q", "--percent-limit", "0.7",
                   "--sort", "comm,dso,symbol", timeout=120).stdout)


def run(chosen, zone, key):
    """Leaves nothing running, whatever happens. zone: the DNS, with our senders' records."""
    if chosen.what == "idle":
        idle.run(chosen, zone, figure)
        return
    running = start(chosen, zone)
    try:
        found = rounds(chosen, running, load_words(chosen, key))
        if chosen.profile:
            profile(running[-1 if chosen.limits or chosen.spam else 0],
                    load_words(chosen, key))
    finally:
        for system in running:
            system.stop()
    if chosen.what == "milter":
        size = table(chosen, found)
        milters.report({name: medians(one) for name, one in found.items()}, size, figure)
    else:
        report(chosen, found)


def main():
    chosen = options(sys.argv[1:])
    key, record = systems.make_key()
    zone = dns.Dns(*systems.zones(record)).start()
    try:
        run(chosen, zone, key)
    except measure.Wrong as e:
        print(f"{chosen.what}: no figures: {e}")
        return 1
    finally:
        zone.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

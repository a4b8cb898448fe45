"""What an idle connection costs in memory: PSS of all processes with and without many of them.

Mail flows before each measurement, so that what a working gateway has anyway is on both sides.
"""
import subprocess

from lab import proc, tls
import measure
import systems

AIMS_KIB = {"clear": 4, "tls": 24}
SOURCES = 40


def certificate():
    """Lines for `listen`, made once."""
    issued = tls.Authority(proc.LAB / "bench-tls").issue("mx.example.com")
    return f'tls optional certificate "{issued[0]}" key "{issued[1]}"'


def flow(chosen, system, number):
    measure.Round(system, ["-c", "10", "-k", "20", "-n", str(chosen.mails), "-s", "192.0.2.64",
                           "-d", str(systems.SENDERS)], number)


def hold(chosen, system, kind):
    """Starts the idle connections; returns when all stand."""
    words = [measure.program("bench_idle"), *(["-T"] if kind == "tls" else []), system.address,
             "192.0.2.120", str(SOURCES), str(chosen.connections)]
    client = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if int(client.stdout.readline() or 0) != chosen.connections:
        client.wait()
        raise measure.Wrong(f"{chosen.connections} {kind} connections did not stand")
    return client


def run(chosen, zone, figure):
    for kind in AIMS_KIB:
        system = systems.Postern(systems.RULES, zone.trust_file, listen=certificate()
                                 if kind == "tls" else "")
        try:
            flow(chosen, system, 1)
            before = system.group.pss_mb()
            client = hold(chosen, system, kind)
            flow(chosen, system, 2)
            after = system.group.pss_mb()
            client.stdin.close()
            client.wait(30)
        finally:
            system.stop()
        each = (after - before) * 1024 / chosen.connections
        print(f"idle, {kind}: {chosen.connections} connections beside flowing mail, PSS "
              f"{before:.1f} MB before, {after:.1f} MB with them: {each:.2f} KiB a connection; aim "
              f"{AIMS_KIB[kind]} KiB: {'met' if each <= AIMS_KIB[kind] else 'NOT met'}")
        figure(f"idle connection, {kind}", f"{each:.2f} KiB",
               f"PSS of all processes, {chosen.connections} connections beside flowing mail")

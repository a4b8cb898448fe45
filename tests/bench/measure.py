"""Measuring a system: a control group for all of its processes, loads, and what reached the sink.

CPU time is that of the group, so that nothing a system starts is left out, not even what ended
since. A run counts only if every mail is accounted for: see Round.
"""
import collections
import os
import pathlib
import subprocess

from lab import proc

NAMES = {"s": "spf", "d": "dkim", "m": "dmarc"}
SETTLE_S = 0.3
_TICKS = os.sysconf("SC_CLK_TCK")


def program(name):
    return proc.build_dir() / "bin" / name


def pss_kb(pid):
    """Memory of a process, what is shared counted once; 0 where it has ended."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return int(text.partition("\nPss:")[2].split()[0])


class Group:
    """A control group of version 2, below the root of the hierarchy; `with` puts us into it."""

    _mounted = None

    @classmethod
    def _mount(cls):
        if cls._mounted is None:
            cls._mounted = proc.LAB / "cgroup"
            cls._mounted.mkdir()
            proc.run("mount", "-t", "cgroup2", "none", cls._mounted)
        return cls._mounted

    def __init__(self, name):
        lines = pathlib.Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
        own = next(line[3:] for line in lines if line.startswith("0::"))
        self.outside = self._mount() / own.lstrip("/")
        self.path = self._mount() / f"postern-bench-{os.environ['POSTERN_LAB_PID']}-{name}"
        self.path.mkdir()

    def _enter(self, path):
        (path / "cgroup.procs").write_text("0\n", encoding="ascii")

    def __enter__(self):
        self._enter(self.path)
        return self

    def __exit__(self, *_):
        self._enter(self.outside)

    def remove(self):
        proc.wait_until(lambda: not self.pids(), f"the end of all processes in {self.path}", 20)
        self.path.rmdir()

    def pids(self):
        words = (self.path / "cgroup.procs").read_text(encoding="ascii").split()
        return [int(word) for word in words if word != "0"]

    def cpu_s(self):
        """User and system time of every process that is or was in the group."""
        text = (self.path / "cpu.stat").read_text(encoding="ascii")
        return int(text.partition("usage_usec ")[2].split()[0]) / 1e6

    def cpu_by_name(self):
        """Of those that live, by what they are called."""
        found = collections.Counter()
        for pid in self.pids():
            try:
                head, _, tail = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            except OSError:
                continue
            name = head.partition("(")[2]
            if name.startswith("python") and len(words) > 1:
                name = pathlib.Path(words[1]).name
            fields = tail.split()
            found[name] += (int(fields[11]) + int(fields[12])) / _TICKS
        return found

    def pss_mb(self):
        return sum(pss_kb(pid) for pid in self.pids()) / 1024


class Sink:
    """The protected server: a process that notes each mail's hash and results."""

    def __init__(self, address, port=25):
        self.file = proc.LAB / f"sink-{address}"
        self.process = subprocess.Popen([program("bench_sink"), address, str(port), self.file],
                                        stdin=subprocess.DEVNULL)
        proc.wait_port(address, port)

    def count(self):
        return self.file.read_bytes().count(b"\n") if self.file.exists() else 0

    def last(self):
        """When the last mail came, by the clock."""
        return self.file.stat().st_mtime

    def mails(self, first):
        """[(hash, marks)] from the mail of that number on."""
        lines = self.file.read_text(encoding="ascii").splitlines() if self.file.exists() else []
        return [tuple(line.split()) for line in lines[first:]]

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Wrong(Exception):
    """The system did not do what is measured, so its figures are worth nothing."""


class Round:
    """One load on one system, and the proof that all of its work was done.

    Each clean mail was accepted and reached the sink once, unchanged but for header fields that
    gateways add; each virus was refused for good and reached nobody, where the system looks for
    them; every mail that arrived has the results that the system is configured to write. Else
    Wrong.
    """

    def __init__(self, system, load, number):
        before, first = system.group.cpu_s(), system.sink.count()
        names = system.group.cpu_by_name()
        out = proc.LAB / "load.out"
        words = [program("bench_load"), "-a", system.address, "-r", str(number), "-o", out, *load]
        self.seconds, began = map(float, proc.run(*words, timeout=600).stdout.split())
        sent = [line.split() for line in out.read_text(encoding="ascii").splitlines()]
        bad = [int(code) for _, code, virus in sent if virus == "V" and system.refuses]
        clean = [(mail, int(code)) for mail, code, virus in sent
                 if virus == "-" or not system.refuses]
        self._refused(bad, clean)
        try:
            proc.wait_until(lambda: system.sink.count() >= first + len(clean),
                            "every mail at the sink", system.patience_s, 0.05)
        except proc.LabError:
            pass
        # What is done for a mail after its delivery is work for that mail.
        proc.wait_until(lambda: system.quiet(), f"{system.name} at rest", 20, SETTLE_S)
        self._arrived(system, clean, system.sink.mails(first))
        # From the first connection until the last mail was at the sink.
        self.through_s = max(self.seconds, system.sink.last() - began)
        self.mails = len(sent)
        self.cpu_ms = (system.group.cpu_s() - before) / len(sent) * 1000
        self.rate = len(sent) / self.seconds
        self.pss_mb = system.group.pss_mb()
        self.parts = {name: (used - names.get(name, 0)) / len(sent) * 1000
                      for name, used in system.group.cpu_by_name().items()}

    @staticmethod
    def _refused(viruses, clean):
        if any(code // 100 != 5 for code in viruses):
            raise Wrong(f"viruses were answered {collections.Counter(viruses)}")
        if any(code != 250 for _, code in clean):
            raise Wrong(f"mails were answered {collections.Counter(c for _, c in clean)}")

    @staticmethod
    def _arrived(system, clean, arrived):
        due = collections.Counter(mail for mail, _ in clean)
        got = collections.Counter(mail for mail, _ in arrived)
        if due != got:
            raise Wrong(f"{system.name}: {len((due - got))} mails are missing at the sink or were "
                        f"changed, {len((got - due))} are there that should not be")
        for mark in system.marks:
            without = sum(mark not in marks for _, marks in arrived)
            if without:
                raise Wrong(f"{system.name}: {without} mails without {NAMES[mark]}=pass")

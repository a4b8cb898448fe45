"""The far side of the benchmarks waits and fanout: a process of many sites (sites.py), the names
that lead to them, and what they say has arrived.
"""
import ipaddress
import json
import subprocess
import sys

from lab import proc

FIRST = ipaddress.ip_address("198.18.1.0")
OWN = "198.18.0.25"  # the senders' own server
NETWORK = "198.18.0.0/15"


def address(i):
    return str(FIRST + i)


def zones(n):
    """d0.example.com ... with an MX each, and the senders' domains with one that they share."""
    lines = [f"d{i} MX 10 mx{i}\nmx{i} A {address(i)}\n" for i in range(n)]
    senders = "".join(f"s{i} MX 10 mx\n" for i in range(50))
    return {"example.com": "".join(lines),
            "senders.example": f"{senders}mx A {OWN}\n"}


class Remotes:
    """kinds: of each site by its number; "dead" ones refuse connections."""

    def __init__(self, kinds):
        proc.run("ip", "route", "replace", "local", NETWORK, "dev", "lo")
        self.kinds = kinds
        self.out = proc.LAB / "sites"
        self.out.mkdir()
        plan = self.out / "plan"
        plan.write_text(json.dumps([[OWN, "own"]] + [
            [address(i), kind] for i, kind in enumerate(kinds) if kind != "dead"]))
        script = proc.REPOSITORY / "tests/bench/sites.py"
        self.process = subprocess.Popen([sys.executable, script, plan, self.out],
                                        stdin=subprocess.DEVNULL)
        proc.wait_until((self.out / "ready").exists, "the sites", 30)

    def _lines(self, name, since):
        text = (self.out / name).read_text(encoding="ascii")
        lines = [line.split() for line in text.splitlines()]
        return [(float(when), site, what.split(",")) for when, site, what in lines
                if float(when) >= since]

    def taken(self, since):
        """[(clock, site's address, recipients)], a transaction each."""
        return self._lines("taken", since)

    def refused(self, since):
        return self._lines("refused", since)

    def notices(self):
        """Files of what came for the senders; those of earlier rounds are to be removed."""
        return sorted(self.out.glob("own-*.eml"))

    def stop(self):
        self.process.terminate()
        self.process.wait(10)

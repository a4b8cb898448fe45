"""Drives the program spf_cases (the SPF engine over a table of DNS records) and reads the suites."""
import os
import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("POSTERN_BUILD", SOURCE / "build/dev")) / "bin/spf_cases"
SUITES = pathlib.Path(os.environ.get("POSTERN_SUITES", SOURCE.parent / "shared/suites"))


def octets(text):
    return text if isinstance(text, bytes) else str(text).encode("utf-8")


class Engine:
    def __init__(self):
        self.process = subprocess.Popen([BINARY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, *fields):
        self.process.stdin.write("\t".join(fields).encode() + b"\n")

    def zone(self, records):
        """records: (name, type, value) where MX has (preference, name)."""
        self.send("Z")
        for name, kind, value in records:
            preference, value = value if kind == "MX" else (0, value)
            self.send("R", octets(name).hex(), kind, octets(value).hex(), str(preference))

    def check(self, ip, helo, sender, host="receiver.example", second=False):
        """The result, the deciding term, the explanation, what went wrong, the number of runs.

        second: by libspf2 in the process that the gateway starts for it.
        """
        self.send("S" if second else "C", ip, octets(helo).hex(), octets(sender).hex(), octets(host).hex())
        self.process.stdin.flush()
        line = self.process.stdout.readline().decode()
        if not line:
            raise RuntimeError(f"spf_cases ended: status {self.process.wait()}")
        result, mechanism, explanation, problem, runs = line.rstrip("\n").split("\t")
        texts = [bytes.fromhex(x).decode("latin-1") for x in (mechanism, explanation, problem)]
        return (result, *texts, int(runs))

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


def records(zonedata):
    """The suites' zones: SPF records stand for TXT too where a name has no TXT of its own."""
    out = []
    for name, entries in zonedata.items():
        kinds = {k for e in entries if isinstance(e, dict) for k in e}
        for entry in entries:
            if entry == "TIMEOUT":
                out.append((name, "TIMEOUT", ""))
                continue
            (kind, value), = entry.items()
            if kind == "SPF":
                if "TXT" in kinds:
                    continue
                kind = "TXT"
            if value == "NONE":
                continue
            if value == "TIMEOUT":
                out.append((name, "TIMEOUT", ""))
                continue
            if kind == "TXT" and isinstance(value, list):
                value = b"".join(octets(v) for v in value)
            out.append((name, kind, value))
    return out

"""conf/samples: each goes through the steps of its own comments, as a new user would.

A command of the comments is run as it stands, and says what stands below it. Three things alone are
the laboratory's: /etc/postern and the spool are folders of the test; systemctl, journalctl, postconf
and postfix act on the posternd and the Postfix that it has started; what includes the sample
adds its name server and one signature in the place of freshclam's.
"""
import os
import re
import subprocess
import time

import pytest

from lab import postern, proc, smtp
from lab.dns import dnsbl
from lab.postfix import Postfix

SAMPLES = proc.REPOSITORY / "conf" / "samples"
LOOKS = ("journalctl", "postern quarantine", "postern limits")  # ask again: it may take its time
INSIDE, REMOTE = "198.51.100.5", "198.51.100.70"
AROUND = """\
resolver "192.0.2.53:53" trust "trust.key"
filter virus { database "signatures" }
include "postern.conf"
"""
FRIENDS = f'@ MX 10 mx\nmx A {REMOTE}\n@ TXT "v=spf1 ip4:192.0.2.0/24 -all"\n'


def steps(sample):
    """[(command, [what it says])] of the comments on top."""
    found = []
    for line in (SAMPLES / sample).read_text(encoding="utf-8").splitlines():
        m = re.match(r"#   (\S.*)$", line)
        if not line.startswith("#"):
            break
        if m and m[1].startswith("$ "):
            found.append((m[1][2:], []))
        elif m and found and found[-1] is not None:
            found[-1][1].append(m[1])
        elif not m and found:
            found.append(None)  # text: what follows it says nothing of the last command
    return [step for step in found if step is not None]


def says(output, words):
    """A line of the output has these words, with anything in the place of `...`."""
    pattern = ".*".join(re.escape(word.strip()) for word in words.split("..."))
    return re.search(pattern, output) is not None


class Machine:
    """Where a sample is installed: its folder, the gateway once it runs, and its Postfix."""

    def __init__(self, gateway, home, files, mta=None):
        self.start, self.home, self.mta, self.gate = gateway, home, mta, None
        self.spool = home / "spool"
        self.files = files
        tools = home / "bin"
        tools.mkdir()
        (tools / "postern").write_text(
            f'#!/bin/sh\nexec {postern.binary("postern")} -f {home}/lab.conf "$@"\n')
        (tools / "postern").chmod(0o755)
        (home / "lab.conf").write_text(AROUND)
        for name, content in files.items():
            path = home / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.environment = {**os.environ, **postern.sanitizer_environment(),
                            "PATH": f"{tools}:{os.environ['PATH']}"}

    def here(self, text):
        return (text.replace("/etc/postern", str(self.home))
                .replace("/var/spool/postern", str(self.spool)))

    def run(self, command):
        words = command.split()
        if words[0] == "systemctl":
            return self.systemctl(words[1])
        if words[0] == "journalctl":
            return self.gate.log()
        if words[0] in ("postconf", "postfix"):
            done = self.mta.root.run(words[0], "-c", self.mta.config, *words[1:], check=False)
            return done.stdout if done.returncode == 0 else f"failed: {done.stdout}"
        done = subprocess.run(["bash", "-c", self.here(command)], cwd=SAMPLES, check=False,
                              env=self.environment, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        config = self.home / "postern.conf"
        if config.exists():
            config.write_text(self.here(config.read_text()))
        assert words[0] in ("swaks", "for") or done.returncode == 0, (command, done.stdout)
        return done.stdout

    def systemctl(self, order):
        if order == "enable":
            self.gate = self.start(self.home)
            return ""
        assert order == "reload", order
        before = len(self.gate.events("reload"))
        self.gate.reload()
        proc.wait_until(lambda: len(self.gate.events("reload")) > before, "the reload's end", 20)
        return ""

    def go(self, sample):
        """All steps of the sample; what one says may take its time to be in a log."""
        done = steps(sample)
        assert len(done) >= 8
        for command, expected in done:
            said = self.run(command)
            for words in expected:
                if command.startswith(LOOKS) and not says(said, words):
                    deadline = time.monotonic() + 15
                    while not says(said, words) and time.monotonic() < deadline:
                        time.sleep(0.2)
                        said = self.run(command)
                assert says(said, words), f"{command}\nhas not said\n{words}\nbut\n{said[-4000:]}"


@pytest.fixture
def machine(request, posternd, nsd, tmp_path_factory):
    """machine(mta) is a Machine; its gateway must end cleanly."""
    running = []
    request.node.gateways = running
    nsd.set({"friend.example": FRIENDS, "bank.example": FRIENDS,
             "unknown.example": f"@ MX 10 mx\nmx A {REMOTE}\n",
             "example.com": "@ MX 10 mx\nmx A 192.0.2.25\n",
             "dnsbl.example": dnsbl({"192.0.2.66": "127.0.0.2"})})
    nsd.restart()

    def make(mta=None):
        home = proc.LAB / tmp_path_factory.mktemp("sample").name
        home.mkdir()
        home.chmod(0o755)

        def start(folder):
            one = postern.Postern.__new__(postern.Postern)
            one.home, one.config = folder, folder / "lab.conf"
            one.log_path, one.environment = folder / "postern.log", {}
            one.program, one.started_as, one.process = postern.binary(), {}, None
            running.append(one)
            return one.start()
        return Machine(start, home, {
            "trust.key": nsd.trust_file.read_text(),
            "signatures/main.ndb": f"Lab.Sample:0:*:{b'POSTERN-SAMPLE-VIRUS'.hex()}\n"}, mta)
    yield make
    for one in running:
        one.stop()


@pytest.fixture
def inside():
    """The organisation's mail server: it knows all but nobody."""
    def recipient(argument, _session):
        return "550 5.1.1 no such user" if "nobody@" in argument else "250 2.1.5 ok"
    with smtp.Server(INSIDE, script={"rcpt": recipient}) as server:
        yield server


@pytest.fixture
def remote():
    with smtp.Server(REMOTE) as server:
        yield server


def test_perimeter(machine, inside):
    machine().go("perimeter.conf")
    observed, taken = [m.message for m in inside.mails]
    assert b"X-Postern-Observe" in observed and b"X-Postern-Observe" not in taken


def test_postfix_milter(machine, remote):
    mta = Postfix("samples", "192.0.2.25", domains=["example.com"], networks=["127.0.0.0/8"],
                  main={"inet_interfaces": "192.0.2.25, 127.0.0.1"},
                  services="127.0.0.1:smtp inet n - n - - smtpd\n").start()
    try:
        machine(mta).go("postfix-milter.conf")
        proc.wait_until(lambda: remote.mails, "our mail at the remote", 20)
        assert b"d=example.com; s=s2026;" in remote.mails[0].message
    finally:
        mta.stop()


def test_outbound_policy(machine, inside, remote):
    machine().go("outbound-policy.conf")
    proc.wait_until(lambda: [m for m in remote.mails if b"4111" in m.message],
                    "the bank's card at the bank", 20)
    for mail in remote.mails:
        message = mail.message
        assert b"d=example.com; s=s2026;" in message and b"Example Ltd, 1 Example Street" in message
        assert (b"4111" in message) == ("bank.example" in str(mail.recipients))
    for name in ("archive@example.com", "compliance@example.com"):
        proc.wait_until(lambda: any(name in str(m.recipients) for m in inside.mails),
                        f"a mail to {name}", 20)

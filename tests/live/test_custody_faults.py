"""Proof: what was answered 250 survives a full disk, a resolver that dies and remotes that stop.

A spool on a small tmpfs that mails fill, or somebody else; a name server that is gone for a while;
remotes that hang, close or reset in each phase of a transaction; a keeper that is gone. Each mail that
was answered 250 arrives once when the fault is over, but for a final dot that no answer came to.
"""
import itertools
import json
import os
import pathlib
import subprocess
import threading
import time

import pytest

from lab import dns, postern, proc, smtp

GATE, REMOTE, DEAD = "192.0.2.170", "198.51.100.170", "198.51.100.171"
RESOLVER = "192.0.2.56"
FIRST = 180  # the remotes of the phases
SENDER = "ann@ours.example"
STAGES = ("connect", "ehlo", "starttls", "mail", "rcpt", "data", "body", "dot")
ZONES = {
    "f.example": f"one MX 10 mxone\nmxone A {REMOTE}\n" + "".join(
        f"{stage} MX 10 mx{stage}\nmx{stage} A 198.51.100.{FIRST + i}\n"
        for i, stage in enumerate(STAGES)),
}
CONFIG = """\
hostname "mx.ours.example"
resolver {resolver}
spool "{spool}"
listen outbound on "{gate}:25" from {{ 192.0.2.64/26 }}
send {send}
queue {{ retry after 1s, up to 2s lifetime 1h }}
outbound {{ accept }}
"""
SIGNED = '"192.0.2.53:53" trust "trust.key"'
MB = 1024 * 1024
sources = (f"192.0.2.{64 + n % 60}" for n in itertools.count())


@pytest.fixture(autouse=True)
def zones(nsd):
    nsd.set(ZONES)
    nsd.restart()


def config(spool, send="direct answer within 1s per mail, 1m per connection", resolver=SIGNED):
    return CONFIG.format(spool=spool, gate=GATE, send=send, resolver=resolver)


def queue(gate, *words):
    done = subprocess.run([postern.binary("postern"), "-f", gate.config, "queue", *words],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
                          env={**os.environ, **postern.sanitizer_environment()})
    assert done.returncode == 0, (words, done.stdout.decode(), done.stderr.decode())
    return done.stdout.decode()


def queued(gate):
    return [json.loads(line) for line in queue(gate, "list", "--json").splitlines()]


def send(recipient, size=1000, timeout=30):
    """The reply to the dot, or to what was not taken before it."""
    line = b"x" * 76 + b"\r\n"
    with smtp.Client(GATE, source=next(sources), timeout=timeout) as client:
        message = smtp.message("fault", SENDER, recipient) + line * (size // len(line))
        return client.mail(SENDER, [recipient], message).last


def came(server, recipient):
    return sum(recipient in mail.recipients for mail in list(server.mails))


def all_come(server, recipients, within=60):
    """Every one, once, and none a second time afterwards."""
    proc.wait_until(lambda: all(came(server, r) for r in recipients), "all that was queued",
                    within, 0.1)
    time.sleep(3)  # more than the longest time between two attempts
    assert [r for r in recipients if came(server, r) != 1] == []


def cpu_s(gate, kind):
    found = 0
    for pid, name in gate.processes().items():
        if name.startswith(kind):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found += int(fields[11]) + int(fields[12])
    return found / os.sysconf("SC_CLK_TCK")


# ---- the disk ----

@pytest.fixture
def small():
    """Room for the four segments that are kept back, and not much more."""
    place = proc.LAB / "small-spool"
    place.mkdir(exist_ok=True)
    proc.run("mount", "-t", "tmpfs", "-o", "size=400m,mode=0755", "tmpfs", place)
    yield place
    proc.run("umount", "-l", place)


def fill(prefix, size=MB, most=400):
    """Mails until one is refused: the recipients of those that were answered 250, and that reply."""
    taken = []
    for i in range(most):
        recipient = f"{prefix}{i}@one.f.example"
        said = send(recipient, size)
        if said.code != 250:
            return taken, said
        taken.append(recipient)
    raise AssertionError(f"{most} mails of {size} bytes did not fill the spool")


def free(place):
    room = os.statvfs(place)
    return room.f_bavail * room.f_frsize


@pytest.mark.slow
def test_full(gateway, small):
    """452 while there is still room for what is under way; a drop makes room, and so does a delivery."""
    gate = gateway(config(small / "spool", "queued"))
    taken, said = fill("a")
    assert said.code == 452, said
    assert len(taken) > 20
    assert free(small) > 64 * MB, "it was filled to the end"
    assert send("other@one.f.example", 2 * MB).code == 452
    assert len(queued(gate)) == len(taken)
    # By hand: what is dropped makes room, though the disk is full.
    dropped = {item["first_recipients"][0]: item["id"] for item in queued(gate)[:len(taken) // 2]}
    for one in dropped.values():
        queue(gate, "drop", one, "--yes")
    assert len(queued(gate)) == len(taken) - len(dropped)
    after = []

    def room_again():
        recipient = f"after{len(after)}@one.f.example"
        after.append(recipient)
        return send(recipient, MB).code == 250
    proc.wait_until(room_again, "a 250 after the drops", 30, 0.5)
    # The destination is there again: everything that was acknowledged comes, and there is room.
    with smtp.Server(REMOTE) as server:
        all_come(server, [r for r in taken if r not in dropped] + after[-1:])
        assert not any(came(server, r) for r in dropped)
        proc.wait_until(lambda: not queued(gate), "an empty queue", 20, 0.2)
        assert send("b@one.f.example", MB).code == 250
    assert gate.wait_event("spool", state="full") and gate.events("spool", state="room again")


@pytest.mark.slow
def test_filled_by_another(gateway, small):
    """Not a byte left: 452, no process ends or spins, and all goes out when there is room again."""
    gate = gateway(config(small / "spool", "queued"))
    taken = [f"c{i}@one.f.example" for i in range(8)]
    assert {send(r, 300_000 if i % 2 else 2000).code for i, r in enumerate(taken)} == {250}
    with open(small / "another", "wb") as f:
        try:
            while True:
                f.write(b"\0" * MB)
                f.flush()
        except OSError:
            pass
    assert free(small) < MB
    time.sleep(0.5)  # what is known of the room is that old at most
    assert send("no@one.f.example").code == 452
    with smtp.Server(REMOTE) as server:
        # Small ones leave; a large one needs a file that there is no room for.
        proc.wait_until(lambda: all(came(server, r) for r in taken[::2]), "the small ones", 30)
        before = cpu_s(gate, "keeper")
        time.sleep(2)
        assert cpu_s(gate, "keeper") - before < 0.5, "it tries without a pause"
        (small / "another").unlink()
        all_come(server, taken)
    assert not gate.events("child-exit")


# ---- names ----

@pytest.mark.slow
def test_resolver_dies(gateway, nsd, tmp_path):
    """Before, while and after: each mail is answered, and comes."""
    tmp_path.chmod(0o755)
    server = dns.Misbehaving(address=RESOLVER).start()
    gate = gateway(config(tmp_path / "spool", resolver=f'"{RESOLVER}:53" insecure'))
    with smtp.Server(REMOTE) as remote:
        recipients = [f"d{i}@one.f.example" for i in range(30)]
        said = []
        for i, recipient in enumerate(recipients):
            if i == 10:
                server.stop()
                gate.reload()  # with an empty cache
                gate.wait_event("reload")
            if i == 20:
                server.start()
            said.append(send(recipient).code)
        assert set(said) == {250}
        assert came(remote, recipients[0]) == 1 and came(remote, recipients[5]) == 1
        all_come(remote, recipients)
        proc.wait_until(lambda: not queued(gate), "an empty queue", 20, 0.2)
    server.stop()


# ---- remotes that stop ----

class Stops(smtp.Connection):
    """Stops at the stage of its server, in the way of its server."""

    def stop_here(self, stage):
        server = self.server
        if stage != server.stage or server.well.is_set():
            return
        server.stopped += 1
        if server.way == "hangs":
            server.well.wait(60)
        self.decide("", "", smtp.Drop(reset=server.way == "resets"))

    def say(self, stage, argument, default):
        self.stop_here(stage)
        return super().say(stage, argument, default)

    def decide(self, stage, argument, default):
        if stage == "dot":
            self.stop_here(stage)
        return super().decide(stage, argument, default)

    def command(self, verb, argument):
        if verb == "STARTTLS":
            self.stop_here("starttls")
        super().command(verb, argument)

    def until(self, mark, at_start=None):
        if mark == smtp.END:
            while len(self.buffer) < 10000 and self.server.stage == "body" \
                    and not self.server.well.is_set():
                self.buffer += self.sock.recv(1000)
            self.stop_here("body")
        return super().until(mark, at_start)


class Stopping(smtp.Server):
    CONNECTION = Stops

    def __init__(self, address, stage, way, tls):
        super().__init__(address, tls=tls)
        self.stage, self.way, self.stopped = stage, way, 0
        self.well = threading.Event()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["hangs", "closes", "resets"])
def test_remote_stops(gateway, authority, tmp_path, way):
    tmp_path.chmod(0o755)
    context = authority.server_context("mx.f.example")
    servers = {stage: Stopping(f"198.51.100.{FIRST + i}", stage, way, context).start()
               for i, stage in enumerate(STAGES)}
    gate = gateway(config(tmp_path / "spool"))
    said = {}

    def one(stage):
        said[stage] = send(f"to@{stage}.f.example", 400_000)
    clients = [threading.Thread(target=one, args=(stage,)) for stage in STAGES]
    for client in clients:
        client.start()
    for client in clients:
        client.join(60)
    try:
        assert {s: r.code for s, r in said.items()} == {s: 250 for s in STAGES}, said
        for stage in STAGES:
            server = servers[stage]
            optional = stage == "starttls"  # a remote that breaks TLS is met without it
            if not optional or server.stopped:
                assert "ueued" in str(said[stage]), (stage, said[stage])
            assert server.stopped >= 1, f"nothing stopped at {stage}"
            assert server.mails == [], stage
        for server in servers.values():
            server.well.set()
        for stage in STAGES:
            all_come_soon = lambda stage=stage: came(servers[stage], f"to@{stage}.f.example")
            proc.wait_until(all_come_soon, f"the mail that met {stage}", 60, 0.1)
        time.sleep(3)
        for stage in STAGES:
            assert came(servers[stage], f"to@{stage}.f.example") == 1, stage
        proc.wait_until(lambda: not queued(gate), "an empty queue", 20, 0.2)
    finally:
        for server in servers.values():
            server.well.set()
            server.stop()


# ---- the keeper ----

@pytest.mark.slow
def test_keeper_gone(gateway, tmp_path):
    """451, and no final dot: what a delivery process has in hand is not finished without a keeper."""
    tmp_path.chmod(0o755)
    gate = gateway(config(tmp_path / "spool"))
    reached, go = threading.Event(), threading.Event()

    def data(_argument, _session):
        reached.set()
        go.wait(30)

    def keeper():
        return [pid for pid, name in gate.processes().items() if name.startswith("keeper")]
    with smtp.Server(REMOTE, script={"data": data}) as server:
        said = []
        client = threading.Thread(
            target=lambda: said.append(send("held@one.f.example")))
        client.start()
        assert reached.wait(10)
        gate.kill(keeper()[0])
        client.join(10)
        assert [r.code for r in said] == [451], said
        time.sleep(0.3)  # the two channels of a process that dies do not close at once
        go.set()
        time.sleep(1)
        assert server.mails == [], "a final dot after the keeper's end"
        # Killed again and again it is started late: until then 451, at once.
        for _ in range(4):
            old = proc.wait_until(keeper, "another keeper", 20)
            gate.kill(old[0])
            proc.wait_until(lambda old=old: not postern.alive(old[0]), "its end")
        began = time.monotonic()
        assert send("gone@one.f.example").code == 451
        assert time.monotonic() - began < 1 and not keeper()
        assert server.mails == []
        proc.wait_until(lambda: send("back@one.f.example").code == 250, "a mail after it", 30, 0.2)
        assert came(server, "back@one.f.example") == 1
        assert not came(server, "held@one.f.example") and not came(server, "gone@one.f.example")

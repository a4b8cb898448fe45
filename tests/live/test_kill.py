"""Proof: the process split survives. kill -9 of each process at the steps of a mail that need it.

DESIGN: delivery dies: the session still has the mail, a final dot in flight is in doubt (451);
signer: asked again, else 451, never unsigned; scanner: that mail is tried again or gets 451, one
that kills two workers is `unscannable`; a client whose session died three times of it gets 421.
Sessions and the parent are killed in test_faults. After each, the gateway serves again.
"""
import base64
import itertools
import os
import signal
import threading
import time

import pytest

from lab import postern, proc, smtp

GATE, SUBMIT, SERVER, REMOTE = "192.0.2.49", "192.0.2.50", "198.51.100.49", "198.51.100.50"
CONFIG = f"""\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "{GATE}:25"
listen outbound on "{SUBMIT}:25" from {{ 192.0.2.64/26 }}
listen outbound on "{SUBMIT}:465" tls implicit certificate "gate.pem" key "gate.key" auth "users"
domain "ours.example" deliver to "{SERVER}:25"
send smarthost "{REMOTE}:25"
user "ann" sends as {{ "ours.example" }}
sign "ours.example" selector "e" key "e.pem"
filter virus {{ database "signatures" }}
pattern word /nobody(writes)*this/
inbound {{
    reject with "554 5.7.1 this cannot be scanned" if unscannable
    reject if virus
    reject if body contains word
    accept
}}
outbound {{
    sign
    accept
}}
"""
LINES = 250_000  # some 4.5 MB of text keep a worker busy
sources = (f"192.0.2.{n}" for n in itertools.count(64))


def tool(*words, **more):
    return proc.run(postern.binary("postern"), *words,
                    env={**os.environ, **postern.sanitizer_environment()}, **more)


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    home = tmp_path_factory.mktemp("kill")
    tool("passwd", "ann", home / "users", input=b"secret\n")
    tool("dkim", "keygen", "ours.example", "e", "ed25519", home / "e.pem")
    certificate, key = authority.issue("mx.ours.example")
    return {"gate.pem": certificate, "gate.key": key, "users": home / "users",
            "e.pem": home / "e.pem",
            "signatures/main.ndb": "Lab.Test:0:*:" + b"postern-laboratory-virus".hex() + "\n"}


@pytest.fixture
def gate(gateway, files):
    """One for each test: what dies often is started again with growing delay."""
    return gateway(CONFIG, files)


@pytest.fixture(scope="module")
def server():
    with smtp.Server(SERVER) as one:
        yield one


def pids(gate, kind):
    return [pid for pid, name in gate.processes().items() if name.startswith(kind)]


def stop_all(gate, kind):
    """From now on these processes have work in hand that they do not do."""
    found = pids(gate, kind)
    assert found, f"no process {kind} among {gate.processes()}"
    for pid in found:
        gate.kill(pid, signal.SIGSTOP)
    return found


def kill_all(gate, killed, kind):
    for pid in killed:
        gate.kill(pid)
    proc.wait_until(lambda: len(pids(gate, kind)) >= len(killed) and
                    not set(killed) & set(pids(gate, kind)), f"new processes {kind}", 15)


def later(seconds, fn):
    timer = threading.Timer(seconds, fn)
    timer.start()
    return timer


def send(gate_address, recipient, body="Hello\r\n", sender="ann@ours.example"):
    with smtp.Client(gate_address, source=next(sources)) as client:
        return client.mail(sender, [recipient], smtp.message("kill", "ann@ours.example",
                                                             body=body))


def served(address, recipient, within=15.0):
    """One mail goes through again, after a few tries at most."""
    proc.wait_until(lambda: send(address, recipient).last.code == 250, "a mail after it", within,
                    0.2)


class Remote:
    """A remote that holds its answer at one stage until it is let go."""

    def __init__(self, stage):
        self.reached, self.go = threading.Event(), threading.Event()
        self.stage = stage
        script = {stage: self.hold} if stage else {}
        self.server = smtp.Server(REMOTE, script=script)

    def hold(self, *_):
        if not self.go.is_set():
            self.reached.set()
            self.go.wait(20)


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
def test_delivery_killed(gate, stage):
    """451; where the final dot was in flight the remote may have a copy, else it has none."""
    remote = Remote(stage)
    with remote.server:
        def kill():
            if remote.reached.wait(10):
                kill_all(gate, pids(gate, "delivery"), "delivery")
        killer = later(0, kill)
        said = send(SUBMIT, "r@dest.example")
        killer.join()
        assert said.dot.code == 451, said
        remote.go.set()
        # The remote learns of the death when it answers; a copy at the dot is its own affair.
        proc.wait_until(lambda: len(remote.server.mails) == (stage == "dot"), "the remote's end")
        before = len(remote.server.mails)
        served(SUBMIT, "r@dest.example")
        assert len(remote.server.mails) == before + 1


@pytest.mark.parametrize("step", ["before MAIL", "before DATA", "in the data"])
def test_delivery_killed_before_it_is_asked(gate, step):
    """Nothing was in its hands: the mail goes out by its successor, or waits at its sender."""
    with smtp.Server(REMOTE) as remote, smtp.Client(SUBMIT, source=next(sources)) as client:
        client.command("EHLO client.example")
        for at, line in (("before MAIL", "MAIL FROM:<ann@ours.example>"),
                         (None, "RCPT TO:<r@dest.example>"), ("before DATA", "DATA")):
            if at == step:
                kill_all(gate, pids(gate, "delivery"), "delivery")
            assert client.command(line).code in (250, 354)
        message = smtp.message("kill", "ann@ours.example")
        client.send(message[:50])
        if step == "in the data":
            kill_all(gate, pids(gate, "delivery"), "delivery")
        client.send(message[50:] + b".\r\n")
        said = client.reply()
        assert said.code in (250, 451), said
        assert len(remote.mails) == (said.code == 250)
        served(SUBMIT, "r@dest.example")


@pytest.mark.parametrize("at_work", [False, True])
def test_signer_killed(gate, at_work):
    """Asked again, or 451: what leaves is signed, always, and once."""
    with smtp.Server(REMOTE) as remote:
        found = stop_all(gate, "signer") if at_work else pids(gate, "signer")
        killer = later(0.3 if at_work else 0, lambda: kill_all(gate, found, "signer"))
        said = send(SUBMIT, "r@dest.example")
        killer.join()
        assert said.dot.code in (250, 451), said
        assert len(remote.mails) == (said.dot.code == 250)
        served(SUBMIT, "r@dest.example")
        for mail in remote.mails:
            assert mail.message.count(b"DKIM-Signature: ") == 1


def test_authenticator_killed(gate, authority):
    """454, nobody is let in, and the session goes on: the next try is answered."""
    context = authority.client_context()
    line = "AUTH PLAIN " + base64.b64encode(b"\0ann\0secret").decode()
    with smtp.Client(SUBMIT, 465, source=next(sources), greeting=False) as client:
        client._sock = context.wrap_socket(client._sock, server_hostname="mx.ours.example")
        assert client.reply().code == 220
        client.command("EHLO client.example")
        found = stop_all(gate, "auth")
        killer = later(0.3, lambda: kill_all(gate, found, "auth"))
        assert client.command(line).code == 454
        killer.join()
        assert client.command("MAIL FROM:<ann@ours.example>").code == 530
        proc.wait_until(lambda: client.command(line).code == 235, "a log-in after it", 15, 0.2)


def test_scanner_killed(gate, server):
    """The manager, with a mail in hand: 451, nothing is delivered."""
    before = len(server.mails)
    assert send(GATE, "r@ours.example").last.code == 250
    found = stop_all(gate, "postern-scanner")
    killer = later(0.3, lambda: [gate.kill(pid) for pid in found])
    said = send(GATE, "r@ours.example")
    killer.join()
    assert said.dot.code == 451, said
    assert len(server.mails) == before + 1
    served(GATE, "r@ours.example")
    assert send(GATE, "r@ours.example", "postern-laboratory-virus\r\n").dot.code == 554


def cpu(pid):
    """What a process has used, in ticks; 0 where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def kill_workers(gate, times):
    """Kills a scan worker that works, so often; the number of those killed."""
    killed, seen = 0, {}
    end = time.monotonic() + 20
    while killed < times and time.monotonic() < end:
        for pid in pids(gate, "scan-worker"):
            used = cpu(pid)
            if used >= seen.setdefault(pid, used) + 3:
                gate.kill(pid)
                proc.wait_until(lambda pid=pid: not postern.alive(pid), "the end of a worker")
                seen[pid] = used + 10**9
                killed += 1
                break
        time.sleep(0.005)
    return killed


@pytest.mark.parametrize("times, code", [(1, 250), (2, 554)])
def test_scan_worker_killed(gate, server, times, code):
    """Once: another worker scans it. Twice: it is unscannable, and the rule says what then."""
    before = len(server.mails)
    killed = []
    killer = later(0, lambda: killed.append(kill_workers(gate, times)))
    said = send(GATE, "r@ours.example", "nobody writes thi\r\n" * LINES)
    killer.join()
    assert killed == [times], "the mail was scanned before its worker could be killed"
    assert said.dot.code == code, said
    assert len(server.mails) == before + (code == 250)
    served(GATE, "r@ours.example")


def test_unscannable_without_a_rule(gateway, files, server):
    """Then the fact `virus` fails: 451, never delivered unseen."""
    gate = gateway(CONFIG.replace(GATE, "192.0.2.51").replace(SUBMIT, "192.0.2.52")
                   .replace('    reject with "554 5.7.1 this cannot be scanned" if unscannable\n', ""),
                   files)
    before = len(server.mails)
    killer = later(0, lambda: kill_workers(gate, 2))
    said = send("192.0.2.51", "r@ours.example", "nobody writes thi\r\n" * LINES)
    killer.join()
    assert said.dot.code == 451, said
    assert len(server.mails) == before
    assert gate.events("fact-failed")


def feed(client):
    """Data without end, as fast as it is taken."""
    try:
        while True:
            client.send(b"a line that means nothing\r\n" * 2000)
    except OSError:
        return


def test_client_that_kills_sessions(gate, server):
    """Three deaths in the work on its input, and this client alone is sent away."""
    source = next(sources)
    for _ in range(12):
        used = {pid: cpu(pid) for pid in pids(gate, "session")}
        with smtp.Client(GATE, source=source) as client:
            if client.greeting.code == 421:
                break
            for line in ("EHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<r@ours.example>", "DATA"):
                client.command(line)
            feeder = threading.Thread(target=feed, args=(client,), daemon=True)
            feeder.start()
            busy = proc.wait_until(lambda: [p for p in used if cpu(p) > used[p] + 3],
                                   "a session at work", 30)
            gate.kill(busy[0])
            feeder.join(10)
            proc.wait_until(lambda: not postern.alive(busy[0]), "its end")
            # Its name stands in /proc until the parent has waited for it: it is not the new one.
            proc.wait_until(lambda: len(set(pids(gate, "session")) - {busy[0]}) == len(used),
                            "a new session", 15)
    else:
        pytest.fail("twelve sessions died of one client, and it is still served")
    served(GATE, "r@ours.example")

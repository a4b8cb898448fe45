"""`postern limits` on a running gateway, asked with the real tool over the keeper's socket; and what
it shows after kill -9 of the keeper under load: the counters are off by at most the last second.
"""
import json
import os
import signal
import subprocess
import threading
import time

import pytest

from lab import postern, proc, smtp

GATE, OWN = "192.0.2.182", "198.51.100.182"
CLIENT = "192.0.2.78"
ZONES = {"own.example": f"@ MX 10 mx\nmx A {GATE}\n"}
CONFIG = f"""\
hostname "mx.own.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{{spool}}"
listen inbound on "{GATE}:25"
domain "own.example" deliver to "{OWN}:25"
inbound {{{{
    defer if sender is "ann@sender.example" and rate sender > 2/hour
    defer if sender is "load@sender.example" and quota sender > 100000/month
    defer if sender is "grey@sender.example" and greylisted
    accept
}}}}
"""
FLUSH_S, WRITE_S = 1.0, 0.5


@pytest.fixture
def gate(gateway, nsd, tmp_path):
    nsd.set(ZONES)
    nsd.restart()
    with smtp.Server(OWN):
        yield gateway(CONFIG.format(spool=proc.LAB / f"limits-tool-{tmp_path.name}"))


def tool(gate, *words, status=0):
    done = subprocess.run([postern.binary("postern"), "-f", gate.config, "limits", *words],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
                          env={**os.environ, **postern.sanitizer_environment()})
    assert done.returncode == status, (words, done.stdout.decode(), done.stderr.decode())
    return done.stdout.decode() + done.stderr.decode()


def shown(gate, *words):
    return [json.loads(line) for line in tool(gate, "list", "--json", *words).splitlines()]


def send(sender):
    with smtp.Client(GATE, source=CLIENT) as client:
        return client.mail(sender, ["bob@own.example"],
                           smtp.message("hello", sender, "bob@own.example")).last.code


def test_shown_and_reset(gate):
    """What is in use is shown at once, with its limit and its end; a reset begins anew."""
    assert tool(gate) == "nothing is in use\n"
    assert [send("ann@sender.example") for _ in range(3)] == [250, 250, 450]
    assert send("grey@sender.example") == 450
    (item,) = shown(gate, "rate")
    assert item["key"].startswith("sender ann@sender.example 2/hour"), item
    assert (item["used"], item["limit"]) == (2, 2) and item["empty"].endswith("Z"), item
    assert [i["state"] for i in shown(gate, "greylist")] == ["waits"]
    said = tool(gate, "rate", "sender ann@")
    assert "2 of 2, empty in 5" in said, said  # 59 minutes
    assert tool(gate, "quota") == "nothing is in use\n"
    assert tool(gate, "reset", item["key"]) == "reset\n"
    assert "nothing is in use under that key" in tool(gate, "reset", item["key"], status=1)
    assert send("ann@sender.example") == 250
    (done,) = [e for e in gate.events("hand") if e.get("action") == "reset"][:1]
    assert done["key"] == item["key"] and done["uid"] == "0", done


def test_killed_under_load(gate):
    """kill -9 of the keeper while mails come in: what it counted a second before is there."""
    taken, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            try:
                if send("load@sender.example") == 250:
                    taken.append(time.monotonic())
            except OSError:
                time.sleep(0.05)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(4.3)
    (keeper,) = [p for p, name in gate.processes().items() if name.startswith("keeper")]
    gate.kill(keeper, signal.SIGKILL)
    killed = time.monotonic()
    stop.set()
    for thread in threads:
        thread.join()
    proc.wait_until(lambda: [p for p, name in gate.processes().items()
                             if name.startswith("keeper") and p != keeper], "another keeper", 15)
    proc.wait_until(lambda: tool_answers(gate), "its answers", 15)
    (item,) = shown(gate, "quota")
    least = sum(t < killed - FLUSH_S - WRITE_S for t in taken)
    # One of each sender may have been counted and not answered.
    assert 0 < least <= item["used"] <= len(taken) + len(threads), (least, item, len(taken))
    assert send("load@sender.example") == 250
    assert shown(gate, "quota")[0]["used"] == item["used"] + 1


def tool_answers(gate):
    done = subprocess.run([postern.binary("postern"), "-f", gate.config, "limits", "quota"],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
                          env={**os.environ, **postern.sanitizer_environment()})
    return done.returncode == 0

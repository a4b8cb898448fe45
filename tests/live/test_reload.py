"""Reloads that come faster than sessions end: refused in time, and nothing that runs is harmed."""
import contextlib
import os
import signal

import pytest

from lab import proc, smtp

GATE, SERVER, SECOND = "192.0.2.42", "198.51.100.42", "192.0.2.43"
RELOADS_MOST = 80


@pytest.fixture
def config(first_gate):
    return first_gate.replace("192.0.2.25", GATE).replace("198.51.100.5", SERVER)


def in_mail(held, address=GATE):
    """A client in the middle of a transaction: its session may not end yet."""
    for _ in range(10):  # a session that is about to be told to end may still have taken it
        client = held.enter_context(smtp.Client(address))
        client.command("EHLO client.example")
        if client.command("MAIL FROM:<a@sender.example>").code == 250:
            return
    pytest.fail("every session ends")


def reload(one, number):
    """True: generation `number` is ready; False: it was refused."""
    refused = len(one.events("config-error"))
    one.reload()

    proc.wait_until(lambda: one.events("reload", generation=str(number)) or
                    len(one.events("config-error")) > refused, "the reload's end", 20)
    return bool(one.events("reload", generation=str(number)))


def test_too_many_generations(gateway, config):
    """SRV-12: each old generation has a mail under way; the parent runs out of places, and on."""
    one = gateway("limits { per client 1000 }\n" + config)
    with contextlib.ExitStack() as held:
        number = 1
        in_mail(held)
        while number < RELOADS_MOST and reload(one, number + 1):
            number += 1
            in_mail(held)
        assert number < RELOADS_MOST
        assert "still ending" in one.events("config-error")[-1]["error"]
        in_mail(held)
    assert not one.events("child-exit")


def test_signals_to_the_whole_group(gateway, config):
    """SRV-12: `pkill -HUP` and Ctrl-C reach every process; the parent alone acts on them."""
    one = gateway(config)
    with contextlib.ExitStack() as held:
        in_mail(held)
        os.killpg(one.process.pid, signal.SIGHUP)
        one.wait_event("reload", generation="2")
    with smtp.Client(GATE) as client:
        client.command("EHLO client.example")
        os.killpg(one.process.pid, signal.SIGINT)
        assert client.reply().code == 421
    one.stop(told=True)
    assert not one.events("child-exit")


def test_listener_of_two_generations_is_removed(gateway, config):
    """Its socket is closed once, when the last generation that had it has ended."""
    both = config + f'listen inbound on "{SECOND}:25"\n'
    one = gateway(both)
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        in_mail(first)
        assert reload(one, 2)
        in_mail(second)
        one.write(config)
        assert reload(one, 3)
        first.close()
        before = set(os.listdir(f"/proc/{one.process.pid}/fd"))
        in_mail(second, GATE)
        second.close()

    proc.wait_until(lambda: len(one.processes()) <= 1 + (os.cpu_count() or 1),
                    "the end of the older generations", 15)
    assert set(os.listdir(f"/proc/{one.process.pid}/fd")) < before
    with pytest.raises(OSError):
        smtp.Client(SECOND)
    with smtp.Client(GATE) as client:
        assert client.command("EHLO client.example").code == 250


def test_the_spool_stays(gateway, config, tmp_path):
    """A reload takes no other spool up: it is refused, and what runs goes on with its own."""
    first, second = tmp_path / "first", tmp_path / "second"
    one = gateway(f'spool "{first}"\n' + config)
    assert reload(one, 2)
    one.write(f'spool "{second}"\n' + config)
    assert not reload(one, 3)
    assert "the spool cannot be changed" in one.events("config-error")[-1]["error"]
    assert first.is_dir() and not second.exists()
    with smtp.Client(GATE) as client:
        assert client.greeting.code == 220

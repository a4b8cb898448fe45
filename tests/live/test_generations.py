"""Orders from outside while mail flows: SIGHUP with right and wrong configurations, SIGTERM.

A wrong configuration never replaces a running one; new rules hold for new sessions, a session in a
transaction ends under the old ones; no mail that was answered 250 is lost or comes twice (SRV-12).
"""
import signal
import threading

import pytest

from lab import proc, smtp

GATE, SECOND, SERVER = "192.0.2.60", "192.0.2.61", "198.51.100.61"
LOAD, MAILS_LEAST = 8, 60


@pytest.fixture
def config(first_gate):
    return first_gate.replace("192.0.2.25", GATE).replace("198.51.100.5", SERVER)


@pytest.fixture
def server():
    with smtp.Server(SERVER) as one:
        yield one


def mail(address=GATE, recipient="b@example.com", subject="mail"):
    with smtp.Client(address, timeout=20) as client:
        return client.mail("a@sender.example", [recipient], smtp.message(subject))


def taken_up(gate, number):
    gate.reload()
    return gate.wait_event("reload", generation=str(number))


@pytest.mark.parametrize("wrong", [
    "inbound { accpet }", "nonsense", 'table t file "absent.txt"', "domain", '"unended',
    'listen inbound on "192.0.2.61:25" tls optional certificate "no.pem" key "no.key"',
])
def test_wrong_configuration_is_refused(gateway, config, server, wrong):
    """The error names file and line; what runs goes on, under the old rules."""
    gate = gateway(config)
    lines = config.splitlines()
    gate.write("\n".join(lines[:4] + [wrong] + lines[4:]) + "\n")
    gate.reload()
    error = gate.wait_event("config-error", line="5")
    assert error["file"].endswith("postern.conf")
    assert mail().dot.code == 250
    assert mail(recipient="b@other.example").recipients[0].code == 550
    assert not gate.events("reload") and not gate.events("child-exit")
    gate.write(config)
    assert taken_up(gate, 2)


def test_an_address_that_is_taken(gateway, config, server):
    """What cannot be opened is refused whole, too."""
    gate = gateway(config)
    with smtp.Server(SECOND):
        gate.write(config + f'listen inbound on "{SECOND}:25"\n')
        gate.reload()
        error = gate.wait_event("config-error")
        assert SECOND in str(error.fields), error.fields
        assert mail().dot.code == 250


def test_new_rules_for_new_sessions(gateway, config, server):
    """An idle session hears 421; one in a transaction ends it under the old rules."""
    gate = gateway(config)
    with smtp.Client(GATE) as idle, smtp.Client(GATE) as busy:
        idle.command("EHLO client.example")
        busy.command("EHLO client.example")
        assert busy.command("MAIL FROM:<a@sender.example>").code == 250
        gate.write(config.replace("    accept\n",
                                  '    reject with "550 5.7.1 new rule" if sender is '
                                  '"a@sender.example"\n    accept\n'))
        assert taken_up(gate, 2)
        assert idle.reply().code == 421
        assert idle.reply().code == 0
        assert busy.command("RCPT TO:<b@example.com>").code == 250
        assert busy.command("DATA").code == 354
        busy.send(smtp.stuffed(smtp.message("old rules")))
        assert busy.reply().code == 250
        assert busy.reply().code in (0, 421)
    assert len(server.mails) == 1
    said = mail()
    assert said.last.code == 550 and "new rule" in str(said.last), said


def test_listeners_come_and_go(gateway, config, server):
    gate = gateway(config)
    with pytest.raises(ConnectionRefusedError):
        smtp.Client(SECOND)
    gate.write(config + f'listen inbound on "{SECOND}:25"\n')
    assert taken_up(gate, 2)
    assert mail(SECOND).dot.code == 250 and mail().dot.code == 250
    gate.write(config.replace(GATE, SECOND))
    assert taken_up(gate, 3)

    def is_closed():
        try:
            smtp.Client(GATE).close()
        except ConnectionRefusedError:
            return True
        return False
    proc.wait_until(is_closed, "the end of the first listener")
    assert mail(SECOND).dot.code == 250


class Load:
    """Clients that send one mail after another until the gateway is gone; what was answered."""

    def __init__(self):
        self.answered, self.number, self.over = {}, 0, threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(LOAD)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.over.is_set():
            with self.lock:
                self.number += 1
                subject = f"load {self.number}"
            try:
                self.answered[subject] = mail(subject=subject).last.code
            except OSError:
                pass

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self.threads)


def copies(server):
    found = {}
    for one in server.mails:
        subject = one.message.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode()
        found[subject] = found.get(subject, 0) + 1
    return found


@pytest.mark.parametrize("order", ["SIGTERM", "SIGHUP"])
def test_under_load(gateway, config, order):
    """Every mail answered 250 arrived exactly once, and no other; nothing is lost on the way."""
    server = smtp.Server(SERVER, script={"dot": smtp.After(0.02, "250 2.0.0 taken")})
    with server:
        gate = gateway(config)
        load = Load()
        try:
            proc.wait_until(lambda: len(server.mails) >= MAILS_LEAST // 2, "half the load", 30)
            if order == "SIGTERM":
                gate.process.send_signal(signal.SIGTERM)
                gate.stop(told=True)
            else:
                assert taken_up(gate, 2) and taken_up(gate, 3)
                proc.wait_until(lambda: len(server.mails) >= MAILS_LEAST, "the load", 30)
        finally:
            load.end()
        arrived = copies(server)
    good = {subject for subject, code in load.answered.items() if code == 250}
    assert len(good) >= MAILS_LEAST // 2
    assert arrived == {subject: 1 for subject in good}
    codes = set(load.answered.values())
    assert codes <= {250, 421, 0}, codes

"""MLT-04: wherever the milter dies, no mail passes unchecked or half-modified, and none is lost.

With milter_default_action = tempfail and F=T. A tap between the MTA and posternd reads the milter
protocol and kills every session process exactly before a step is handed on, or in the middle of an
answer, after so many of its edits: then the MTA sees what a crash between two writes would leave.
Each time the client is told 4yz, the sink gets nothing, and the retry passes once, whole.
"""
import itertools
import re
import signal
import socket
import struct
import threading
import time

import pytest

from lab import dns, milter, postern, proc, smtp

pytestmark = pytest.mark.slow
ADDRESS = {"postfix": "198.51.100.41", "sendmail": "198.51.100.42"}
SINK, INNER = "198.51.100.43", 8893
CONFIG = """\
hostname "mx.ours.example"
resolver "192.0.2.54:53" insecure
listen milter on "inet:{port}@127.0.0.1"{front}
domain "ours.example"
limits {{ per client 1000 }}
filter virus {{ database "signatures" }}
inbound {{
    reject with "550 5.7.23 no" if spf is fail
    reject if virus
    tag "X-First: 1"
    tag "X-Second: 2"
    remove header "X-Secret"
    accept
}}
"""
# By the letters of the wire: what the MTA says, and what the milter answers.
# The library with one MTA only: what differs is on our side.
FRONTS = {"postfix": milter.FRONTS, "sendmail": milter.FRONTS[:1]}
STEPS = {"negotiate": "O", "connect": "C", "helo": "H", "mail": "M", "rcpt": "R", "header": "L",
         "body": "B", "end": "E"}
sources = itertools.cycle([f"192.0.2.{n}" for n in range(100, 250)])
numbers = iter(range(10**6))


class Tap:
    """Stands between; at(packet, nth, act): act before the nth packet of that kind goes on.

    A packet is "E" of the MTA, "=c" of the milter. act returns True where both ends are to be cut
    there and then.
    """

    def __init__(self, port, to_port):
        self._to, self.seen = to_port, []
        self._rule, self._left, self._act = None, 0, None
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def at(self, packet, nth, act):
        self.seen = []
        self._rule, self._left, self._act = packet, nth, act

    def pass_all(self):
        self._rule = None

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                mta, _ = self._listener.accept()
            except OSError:
                return
            try:
                ours = socket.create_connection(("127.0.0.1", self._to), timeout=5)
                ours.settimeout(None)
            except OSError:
                mta.close()
                continue
            for a, b, mark in ((mta, ours, ""), (ours, mta, "=")):
                a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._carry, args=(a, b, mark), daemon=True).start()

    def _carry(self, source, target, mark):
        try:
            with source.makefile("rb") as stream:
                while len(size := stream.read(4)) == 4:
                    data = stream.read(struct.unpack(">I", size)[0])
                    if self._cut(mark + data[:1].decode("latin-1")):
                        break
                    target.sendall(size + data)
        except OSError:
            pass
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _cut(self, packet):
        with self._lock:
            self.seen.append(packet)
            if packet != self._rule:
                return False
            self._left -= 1
            if self._left != 0:
                return False
        return self._act()


@pytest.fixture(scope="module")
def sink():
    with smtp.Server(SINK) as one:
        yield one


@pytest.fixture(scope="module")
def slow_dns(nsd):
    nsd.set({"sender.example": '@ TXT "v=spf1 ip4:192.0.2.0/24 -all"\n@ MX 10 mail\n'
                               "mail A 192.0.2.70\n"})
    nsd.restart()
    server = dns.Misbehaving({("slow.example", "TXT"): dns.Answer(
        ['"v=spf1 ip4:192.0.2.0/24 -all"'], delay=2)}).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tap():
    one = Tap(milter.PORT, INNER)
    yield one
    one.close()


PAIRS = [(mta, front) for mta in milter.MTAS for front in FRONTS[mta]]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda p: f"{p[0]}{p[1].replace(' ', '-')}")
def pair(request):
    return request.param


@pytest.fixture(scope="module")
def mta(pair, sink, tap):
    with milter.Mta(pair[0], ADDRESS[pair[0]], SINK) as one:
        yield one


@pytest.fixture
def start(pair, gateway, slow_dns):
    """start(): a gateway of its own, since what dies often is started again with growing delay."""
    return lambda: gateway(CONFIG.format(port=INNER, front=pair[1]),
                           {"signatures/main.hdb": "44d88612fea8a8f36de82e1278abb02f:68:Eicar\n"})


@pytest.fixture
def gate(start, tap):
    one = start()
    yield one
    tap.pass_all()


def sessions(gate):
    """Those that hold a mail: session processes, and libmilter's where that is the front."""
    return [pid for pid, name in gate.processes().items()
            if name.startswith(("session", "postern-milter"))]


def kill(gate):
    """All of them at once; True once they are gone."""
    killed = sessions(gate)
    assert killed
    for pid in killed:
        gate.kill(pid)
    proc.wait_until(lambda: not any(postern.alive(pid) for pid in killed), "the end of sessions")
    return True


def mail(number):
    head = f"X-Secret: one\r\nX-Number: {number}\r\nX-Secret: two\r\n".encode()
    return head + smtp.message(f"kill {number}", "joe@sender.example", "r@ours.example",
                               "x" * 70 + "\r\n")


def send(mta, number, sender="joe@sender.example", source=None):
    try:
        with smtp.Client(mta.address, source=source or next(sources)) as client:
            said = client.mail(sender, ["r@ours.example"], mail(number)).last
            client.command("QUIT")
            return said
    except OSError:
        return smtp.Reply(b"")


def of(sink, number):
    mark = f"\r\nX-Number: {number}\r\n".encode()
    return [m for m in sink.mails if mark in m.message]


def assert_whole(message):
    """Every edit of ours, and not one less."""
    for field in (b"Authentication-Results: mx.ours.example;", b"X-First: 1\r\n",
                  b"X-Second: 2\r\n"):
        assert len(re.findall(rb"(?m)^" + re.escape(field), message)) == 1, message
    assert b"X-Secret" not in message, message


def retried(mta, sink, number):
    """As a client would: again until it is taken. Then it is there once, and whole."""
    proc.wait_until(lambda: send(mta, number).code == 250, "the retry", 20, 0.2)
    proc.wait_until(lambda: of(sink, number), "the mail", 15)
    time.sleep(0.1)
    assert len(of(sink, number)) == 1
    assert_whole(of(sink, number)[0].message)


def refused_for_now(said):
    """4yz, or a connection that broke before any answer: the client keeps the mail."""
    assert said.code // 100 == 4 or said.code == 0, said


def test_nothing_happens(mta, gate, sink, tap):
    """The tap itself changes nothing, and sees the steps that the others name."""
    tap.at("never", 1, None)
    number = next(numbers)
    said = send(mta, number)
    assert said.code == 250, said
    proc.wait_until(lambda: of(sink, number), "the mail", 15)
    assert_whole(of(sink, number)[0].message)
    assert set(STEPS.values()) <= set(tap.seen), tap.seen
    answer = tap.seen[tap.seen.index("E") + 1:]
    assert [p for p in answer if p[0] == "="][:6] == ["=m", "=m", "=i", "=i", "=i", "=c"], answer


@pytest.mark.parametrize("step", STEPS)
def test_before_a_step(mta, gate, sink, tap, step):
    """The step never reaches us."""
    number = next(numbers)
    tap.at(STEPS[step], 1, lambda: kill(gate))
    refused_for_now(send(mta, number))
    assert not of(sink, number)
    tap.pass_all()
    retried(mta, sink, number)


@pytest.mark.parametrize("packet, nth", [("=O", 1), ("=m", 1), ("=m", 2), ("=i", 1), ("=i", 2),
                                         ("=i", 3), ("=c", 1)], ids=str)
def test_in_the_middle_of_an_answer(mta, gate, sink, tap, packet, nth):
    """Some edits are with the MTA and the verdict is not: none of them may take effect."""
    number = next(numbers)
    if packet == "=c":  # the last word to this mail, not one of those before
        tap.at("=c", sum(p == "=c" for p in dry_run(mta, sink, tap)), lambda: kill(gate))
    else:
        tap.at(packet, nth, lambda: kill(gate))
    refused_for_now(send(mta, number))
    assert not of(sink, number)
    tap.pass_all()
    retried(mta, sink, number)


def dry_run(mta, sink, tap):
    """The packets of one mail, up to its verdict."""
    tap.at("never", 1, None)
    number = next(numbers)
    assert send(mta, number).code == 250
    proc.wait_until(lambda: of(sink, number), "the mail", 15)
    return tap.seen[:]


def test_right_after_the_answer(mta, gate, sink, tap):
    """The verdict is with the MTA: the mail is whole, whatever becomes of us."""
    number = next(numbers)
    last = sum(p == "=c" for p in dry_run(mta, sink, tap))

    def later():
        threading.Timer(0.002, kill, [gate]).start()
        return False
    tap.at("=c", last, later)
    said = send(mta, number)
    tap.pass_all()
    if said.code != 250:  # Postfix may have had more to ask
        refused_for_now(said)
    retried(mta, sink, number) if said.code != 250 else None
    proc.wait_until(lambda: of(sink, number), "the mail", 15)
    assert len(of(sink, number)) == 1
    assert_whole(of(sink, number)[0].message)


def test_while_the_scanner_is_at_work(mta, gate, sink):
    """All is said and we owe the answer."""
    number = next(numbers)
    scanners = [pid for pid, name in gate.processes().items() if name.startswith("postern-scan")
                or name.startswith("scan")]
    assert scanners
    for pid in scanners:
        gate.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(0.7, kill, [gate])
    timer.start()
    refused_for_now(send(mta, number))
    timer.join()
    for pid in scanners:
        gate.kill(pid, signal.SIGCONT)
    assert not of(sink, number)
    retried(mta, sink, number)


def test_while_the_dns_is_slow(mta, gate, sink):
    """At RCPT, with a question open."""
    number = next(numbers)
    timer = threading.Timer(0.7, kill, [gate])
    timer.start()
    began = time.monotonic()
    refused_for_now(send(mta, number, "joe@slow.example"))
    assert time.monotonic() - began < 2, "the answer was awaited, nobody was killed"
    timer.join()
    assert not of(sink, number)
    retried(mta, sink, number)


def test_nobody_there(mta, tap, sink):
    """Before posternd is started, each client is put off in the MTA's own words."""
    number = next(numbers)
    said = send(mta, number)
    assert str(said) == milter.MISSING[mta.kind]
    assert not of(sink, number)


class Flow:
    """Clients that send one mail after the other, and again what was not taken."""

    def __init__(self, mta, clients=3):
        self.mta, self.replies, self.taken = mta, [], []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        source = next(sources)
        while not self._end.is_set():
            number = next(numbers)
            for _ in range(100):
                said = send(self.mta, number, source=source)
                self.replies.append(said)
                if said.code == 250:
                    self.taken.append(number)
                    break
                if said.code // 100 == 5:
                    break
                time.sleep(0.2)

    def stop(self):
        self._end.set()
        for thread in self._threads:
            thread.join(60)


def assert_flowed(flow, sink):
    assert not [r for r in flow.replies if r.code // 100 == 5], flow.replies
    proc.wait_until(lambda: all(of(sink, n) for n in flow.taken), "every mail taken", 30, 0.2)
    for number in flow.taken:
        assert len(of(sink, number)) == 1
        assert_whole(of(sink, number)[0].message)


def test_stopped_and_started_while_mail_flows(mta, start, sink, tap):
    """SIGTERM and a new start, twice: no mail is refused for good, none passes unseen or twice."""
    tap.pass_all()
    gate = start()
    flow = Flow(mta)
    try:
        for _ in range(2):
            proc.wait_until(lambda n=len(flow.taken): len(flow.taken) >= n + 6, "mails", 30)
            gate.stop()
            time.sleep(0.5)
            gate = start()
        proc.wait_until(lambda n=len(flow.taken): len(flow.taken) >= n + 6, "mails", 30)
    finally:
        flow.stop()
    assert_flowed(flow, sink)
    assert any(r.code // 100 == 4 for r in flow.replies), "nobody was put off: was it stopped?"


def test_reloaded_while_mail_flows(mta, gate, sink):
    """SIGHUP: not one mail is put off."""
    flow = Flow(mta)
    try:
        for generation in range(2, 6):
            proc.wait_until(lambda n=len(flow.taken): len(flow.taken) >= n + 4, "mails", 30)
            gate.reload()
            gate.wait_event("reload", generation=str(generation))
    finally:
        flow.stop()
    assert_flowed(flow, sink)
    assert not [r for r in flow.replies if r.code != 250], [
        r for r in flow.replies if r.code != 250]


def test_reload_in_the_middle_of_a_session(mta, gate, sink):
    """An MTA keeps its connection as long as its client stays: what is under way is finished."""
    numbers_sent = [next(numbers), next(numbers)]
    with smtp.Client(mta.address, source=next(sources)) as client:
        client.command("EHLO client.example")
        client.command("MAIL FROM:<joe@sender.example>")
        assert client.command("RCPT TO:<r@ours.example>").code == 250
        gate.reload()
        gate.wait_event("reload", generation="2")
        assert client.command("DATA").code == 354
        client.send(smtp.stuffed(mail(numbers_sent[0])))
        assert client.reply().code == 250
        second = client.mail("joe@sender.example", ["r@ours.example"], mail(numbers_sent[1]),
                             helo=None).last
        client.command("QUIT")
    assert second.code == 250 or second.code // 100 == 4, second
    proc.wait_until(lambda: of(sink, numbers_sent[0]), "the mail", 15)
    assert_whole(of(sink, numbers_sent[0])[0].message)
    if second.code != 250:
        retried(mta, sink, numbers_sent[1])

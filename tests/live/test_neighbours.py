"""Rspamd and SpamAssassin as they are in Debian, asked about mails by rules.

Their scores are what rspamc and spamc say of the same mail; the envelope reaches them; each mail is
shown alone, whole, and to the gateway's end of either protocol the same happens. And scanners that
are away, silent, dead in the middle or endless: what cannot be known is put off, or skipped.
"""
import os
import re
import socket
import threading
import time

import pytest

from lab import milter_client, postern, proc, smtp
from lab.rspamd import Rspamd
from lab.spamassassin import SpamAssassin

GATE, SERVER, CLIENT, NAME = "192.0.2.45", "198.51.100.45", "192.0.2.70", "mail.sender.example"
MILTER_PORT = 8845
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"
ODD = "Dear friend,\r\n\r\nVIAGRA CIALIS!!! Click here: http://192.0.2.9/free-money\r\n"
BASE = f"""\
hostname "mx.example.com"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "{GATE}:25"
domain "example.com" deliver to "{SERVER}:25"
"""


class Between:
    """Stands in front of a scanner and keeps every request as it came; or is one by itself.

    target: (address, port) of the real one; else act(sock, request) answers, or does not.
    """

    def __init__(self, target=None, act=None):
        self.target, self.act, self.requests = target, act, []
        self.open = self.most_open = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.away()

    def away(self):
        """Refuses connections: a thread that is in accept() would take one more after close()."""
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        self._count(1)
        try:
            with sock:
                sock.settimeout(30)
                request = self._request(sock)
                with self.lock:
                    self.requests.append(request)
                if self.act is not None:
                    self.act(sock, request)
                else:
                    reply = self._forward(request)
                    self._count(-1)  # before the gateway can know that it may come again
                    sock.sendall(reply)
        except OSError:
            pass

    def _count(self, n):
        with self.lock:
            self.open += n
            self.most_open = max(self.most_open, self.open)

    def _forward(self, request):
        reply = b""
        with socket.create_connection(self.target, timeout=30) as far:
            far.sendall(request)
            while more := far.recv(65536):
                reply += more
        return reply

    @staticmethod
    def _request(sock):
        data = b""
        while b"\r\n\r\n" not in data and (more := sock.recv(65536)):
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        while len(rest) < length and (more := sock.recv(65536)):
            rest += more
        return head + b"\r\n\r\n" + rest


@pytest.fixture(scope="module")
def rspamd(nsd):
    one = Rspamd().start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def spamassassin(nsd):
    one = SpamAssassin().start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def server():
    with smtp.Server(SERVER) as one:
        yield one


def send(mail, to=("bob@example.com",), sender="alice@sender.example", helo=NAME):
    with smtp.Client(GATE, source=CLIENT) as client:
        return client.mail(sender, list(to), mail, helo=helo)


def body_of(request):
    return request.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("way", ["tcp", "unix"])
def test_a_mail_that_is_spam(gateway, server, rspamd, spamassassin, way):
    """GTUBE is refused by rule, by what each of them says; a plain mail goes on, byte by byte."""
    at = {"tcp": (f"127.0.0.1:{rspamd.port}", f"127.0.0.1:{spamassassin.port}"),
          "unix": (f"unix:{rspamd.unix_path()}", f"unix:{spamassassin.unix_path()}")}[way]
    gate = gateway(f"""{BASE}
        filter rspamd {{ server "{at[0]}" }}
        filter spamassassin {{ server "{at[1]}" }}
        inbound {{
            reject with "550 5.7.1 action" if recipient is "a@example.com" and \\
                rspamd.action is "reject"
            reject with "550 5.7.1 score" if recipient is "b@example.com" and rspamd.score >= 15
            reject with "550 5.7.1 sa" if recipient is "c@example.com" and spamassassin.score > 500
            accept
        }}""")
    spam, plain = smtp.message("spam", body=GTUBE), smtp.message("plain")
    for local, word in (("a", "action"), ("b", "score"), ("c", "sa")):
        said = send(spam, [f"{local}@example.com"])
        assert said.last.code == 550 and word in str(said.last), said
        before = len(server.mails)
        assert send(plain, [f"{local}@example.com"]).last.code == 250
        assert server.mails[before].message.endswith(plain)
    assert not gate.events("fact-failed")


def test_scores_are_theirs(gateway, server, rspamd, spamassassin):
    """What rspamc says of the same mail and envelope; what spamc says of the same bytes."""
    mail = smtp.message("MAKE MONEY FAST!!!", to="undisclosed-recipients:;", body=ODD)
    theirs = rspamd.ask(mail, "-i", CLIENT, "--hostname", NAME, "--helo", NAME, "-F",
                        "alice@sender.example", "-r", "bob@example.com")["score"]
    with Between(("127.0.0.1", spamassassin.port)) as between:
        first = gateway(f"""{BASE}
            filter spamassassin {{ server "127.0.0.1:{between.port}" }}
            inbound {{ reject if spamassassin.score > 999
            accept }}""")
        assert send(mail).last.code == 250
        first.stop()
        shown = body_of(between.requests[0])
    sa = spamassassin.ask(shown)
    assert shown.endswith(mail) and theirs > 1 and sa > 1, (theirs, sa)
    gateway(f"""{BASE}
        filter rspamd {{ server "127.0.0.1:{rspamd.port}" }}
        filter spamassassin {{ server "127.0.0.1:{spamassassin.port}" }}
        inbound {{
            reject with "550 5.7.1 as both say" if rspamd.score > {theirs - 0.01:.4f} and \\
                rspamd.score < {theirs + 0.01:.4f} and spamassassin.score > {sa - 0.05:.4f} and \\
                spamassassin.score < {sa + 0.05:.4f}
            accept
        }}""")
    said = send(mail)
    assert said.last.code == 550 and "as both say" in str(said.last), (said, theirs, sa)


def test_what_they_are_told(gateway, server, rspamd, spamassassin):
    """The envelope, and of a mail that is too large for memory every byte."""
    big = smtp.message("large", body="".join(f"line {i}\r\n" for i in range(60000)))
    with Between(("127.0.0.1", rspamd.port)) as to_rspamd, \
            Between(("127.0.0.1", spamassassin.port)) as to_spamd:
        gate = gateway(f"""{BASE}
            filter rspamd {{ server "127.0.0.1:{to_rspamd.port}" }}
            filter spamassassin {{ server "127.0.0.1:{to_spamd.port}" }}
            inbound {{
                reject if rspamd.score > 999
                reject if size < 100K and spamassassin.score > 999
                accept
            }}""")
        plain = smtp.message("two")
        assert send(plain, ["bob@example.com", "eve@example.com"]).last.code == 250
        assert send(big, sender="").last.code == 250
        told, _, shown = to_rspamd.requests[0].partition(b"\r\n\r\n")
        mail_id = gate.events("mail")[0]["mail"]
        for line in ("POST /checkv2 HTTP/1.0", f"Content-Length: {len(plain)}",
                     "From: <alice@sender.example>", "Rcpt: <bob@example.com>",
                     "Rcpt: <eve@example.com>", f"IP: {CLIENT}", f"Helo: {NAME}",
                     f"Hostname: {NAME}", f"Queue-Id: {mail_id}", "MTA-Name: mx.example.com"):
            assert line.encode() in told.split(b"\r\n"), (line, told)
        assert shown == plain
        assert body_of(to_rspamd.requests[1]) == big
        assert b"\r\nFrom: <>\r\n" in to_rspamd.requests[1]
        assert f"qid: <{mail_id}>, ip: {CLIENT}" in rspamd.log()
        assert len(to_spamd.requests) == 1  # the large one is not asked about at all
        shown = body_of(to_spamd.requests[0])
        assert shown.endswith(plain)
        assert re.fullmatch(
            rb"Return-Path: <alice@sender.example>\r\n"
            rb"Received: from mail\.sender\.example \(mail\.sender\.example \[192\.0\.2\.70\]\)\r\n"
            rb"\tby mx\.example\.com \(Postfix\) with ESMTP id [^\r]+;\r\n\t[^\r]+\r\n",
            shown[:-len(plain)]), shown[:-len(plain)]


def test_many_sessions(gateway, server, rspamd, spamassassin):
    """Verdicts are their own mail's, and nothing of a mail is shown with another."""
    with Between(("127.0.0.1", rspamd.port)) as to_rspamd, \
            Between(("127.0.0.1", spamassassin.port)) as to_spamd:
        gateway(f"""{BASE}
            filter rspamd {{ server "127.0.0.1:{to_rspamd.port}" timeout 60s connections 2 }}
            filter spamassassin {{ server "127.0.0.1:{to_spamd.port}" timeout 60s }}
            inbound {{
                reject if rspamd.action is "reject" or spamassassin.score > 999
                accept
            }}""")
        codes = {}

        def one(n):
            mail = smtp.message(f"token-{n:03}-", body=GTUBE if n % 3 == 0 else f"Hello {n}.\r\n")
            codes[n] = send(mail, [f"token-{n:03}-@example.com"]).last.code
        threads = [threading.Thread(target=one, args=(n,)) for n in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
        assert codes == {n: 550 if n % 3 == 0 else 250 for n in range(24)}
        for between in (to_rspamd, to_spamd):
            tokens = [set(re.findall(rb"token-\d+-", r)) for r in between.requests]
            assert all(len(t) == 1 for t in tokens), tokens
        # spamd too has seen the 16 that Rspamd does not refuse; both are asked at once
        assert len(to_rspamd.requests) == 24 and 16 <= len(to_spamd.requests) <= 24
        assert 2 <= to_rspamd.most_open <= 2 * session_processes()


def session_processes():
    """As many as the gateway forks: one for each processor."""
    return len(os.sched_getaffinity(0))


def test_milter(gateway, rspamd, spamassassin):
    """The same of a mail that an MTA asks about; the envelope is the MTA's client's."""
    with Between(("127.0.0.1", rspamd.port)) as between:
        gateway(f"""\
            hostname "mx.example.com"
            resolver "192.0.2.53:53" trust "trust.key"
            listen milter on "inet:{MILTER_PORT}@127.0.0.1"
            domain "example.com" deliver to "{SERVER}:25"
            filter rspamd {{ server "127.0.0.1:{between.port}" }}
            filter spamassassin {{ server "127.0.0.1:{spamassassin.port}" }}
            inbound {{
                reject with "550 5.7.1 rspamd" if rspamd.score >= 15
                reject if spamassassin.score > 999
                accept
            }}""")
        with milter_client.Mta("127.0.0.1", MILTER_PORT) as mta:
            mta.negotiate()
            mta.connect(NAME, CLIENT)
            mta.helo(NAME)
            for body, code in ((GTUBE, 550), ("Hello.\r\n", 250)):
                said = mta.mail("alice@sender.example", ["bob@example.com"],
                                smtp.message("milter", body=body))
                assert said.last.code == code, said
        plain = between.requests[1]
        assert f"\r\nIP: {CLIENT}\r\n".encode() in plain
        assert f"\r\nHostname: {NAME}\r\n".encode() in plain
        assert body_of(plain).endswith(b"\r\n\r\nHello.\r\n")


def silent(sock, _):
    sock.recv(1)


def dies(sock, _):
    sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"score":')


def resets(sock, _):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def endless(sock, _):
    sock.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"score":1,"urls":["')
    while True:
        sock.sendall(b"x" * 65536)


def refuses(sock, _):
    sock.sendall(b'HTTP/1.1 500 scanning failed\r\nContent-Length: 2\r\n\r\n{}')


def no_spamd(sock, _):
    sock.sendall(b"SPAMD/1.0 76 Bad header line\r\n")


@pytest.mark.parametrize("fact, act, words", [
    ("rspamd", silent, "it did not answer in time"),
    ("rspamd", dies, "in the middle of its answer"),
    ("rspamd", resets, "reset"),
    ("rspamd", endless, "its answer is too long"),
    ("rspamd", refuses, "it answered HTTP/1.1 500 scanning failed"),
    ("rspamd", None, "refused"),
    ("spamassassin", silent, "it did not answer in time"),
    ("spamassassin", no_spamd, "it answered SPAMD/1.0 76 Bad header line"),
    ("spamassassin", None, "refused"),
], ids=lambda v: getattr(v, "__name__", None))
def test_what_cannot_be_known(gateway, server, fact, act, words):
    """Put off with 451 and words in the log; with `on failure skip` the rule is passed over; and
    nobody waits who does not ask."""
    with Between(act=act) as between:
        if act is None:
            between.away()

        limit = "1s" if act is silent else "20s"

        def start(failure):
            return gateway(f"""{BASE}
                filter {fact} {{ server "127.0.0.1:{between.port}" timeout {limit} {failure} }}
                inbound {{
                    reject if recipient is "asks@example.com" and {fact}.score > 5
                    accept
                }}""")
        gate = start("")
        before = time.monotonic()
        said = send(smtp.message("x"), ["asks@example.com"])
        assert said.last.code == 451 and f"{fact}.score" in str(said.last), said
        assert time.monotonic() - before < 15
        event = gate.wait_event("fact-failed", fact=f"{fact}.score")
        assert words in event["error"] and f"127.0.0.1:{between.port}" in event["error"], event
        assert bool(gate.events("neighbour-down", filter=fact)) == (act in (silent, None))
        assert send(smtp.message("x"), ["other@example.com"]).last.code == 250
        gate.stop()
        gate = start("on failure skip")
        assert send(smtp.message("x"), ["asks@example.com"]).last.code == 250
        assert gate.events("fact-failed")


def test_the_other_one(gateway, server, rspamd):
    """The next server is asked within the time; the silent one is passed over then."""
    with Between(act=silent) as between:
        gate = gateway(f"""{BASE}
            filter rspamd {{ server "127.0.0.1:{between.port}" then "127.0.0.1:{rspamd.port}"
                timeout 10s }}
            inbound {{ reject if rspamd.action is "reject"
            accept }}""")
        for body, code in ((GTUBE, 550), ("Hello.\r\n", 250)):
            assert send(smtp.message("x", body=body)).last.code == code
        down = gate.wait_event("neighbour-down")
        assert down["server"] == f"127.0.0.1:{between.port}"
        before = time.monotonic()
        asked = len(between.requests)
        for _ in range(4):  # by all session processes, each of which finds out by itself
            assert send(smtp.message("x", body=GTUBE)).last.code == 550
        assert len(between.requests) - asked < session_processes()
        assert time.monotonic() - before < 10 + 5 * session_processes()


def test_a_client_that_goes(gateway, server):
    """Its mail is not shown any longer: the connection to the scanner ends with it."""
    gone = threading.Event()

    def waits(sock, _):
        if sock.recv(1) == b"":
            gone.set()
    with Between(act=waits) as between:
        gateway(f"""{BASE}
            filter rspamd {{ server "127.0.0.1:{between.port}" timeout 1m }}
            inbound {{ reject if rspamd.score > 5
            accept }}""")
        client = smtp.Client(GATE, source=CLIENT)
        client.command(f"EHLO {NAME}")
        client.command("MAIL FROM:<alice@sender.example>")
        client.command("RCPT TO:<bob@example.com>")
        client.command("DATA")
        client.send(smtp.message("never") + b".\r\n")
        proc.wait_until(lambda: between.requests, "the mail at the scanner")
        client.reset()
        assert gone.wait(10)
    assert not any(b"Subject: never\r\n" in mail.message for mail in server.mails)


def test_doctor(gateway, rspamd, spamassassin):
    """What postern doctor says of servers that answer, one that is silent, one that is away."""
    with Between(act=silent) as between:
        gate = gateway(f"""{BASE}
            filter rspamd {{ server "127.0.0.1:{rspamd.port}" then "127.0.0.1:{between.port}"
                timeout 5s }}
            filter spamassassin {{ server "unix:{spamassassin.unix_path()}" then "127.0.0.1:1" }}
            inbound {{ accept }}""")
        said = proc.run(postern.binary("postern"), "-f", gate.config, "doctor", check=False,
                        env={**os.environ, **postern.sanitizer_environment()}).stdout
    for line in (rf"ok    rspamd 127\.0\.0\.1:{rspamd.port}: answers: -?[0-9.]+ of 15\.00, "
                 "[a-z ]+ for a mail of ours",
                 rf"fail  rspamd 127\.0\.0\.1:{between.port}: .*it did not answer in time",
                 r"ok    spamassassin unix:\S+: answers: -?[0-9.]+ of 5\.00 for a mail of ours",
                 r"fail  spamassassin 127\.0\.0\.1:1: .*Connection refused"):
        assert re.search(rf"(?m)^{line}$", said), said

"""Both ends of SMTP, byte by byte: a server with a script, and a client that repairs nothing."""
import contextlib
import socket
import threading
import time

END = b"\r\n.\r\n"


class Reply:
    """A reply as it came: code, lines without code, raw bytes. code 0 means: closed."""

    def __init__(self, raw):
        self.raw = raw
        self.lines = [line[4:].decode("utf-8", "replace") for line in raw.split(b"\r\n")[:-1]]
        self.code = int(raw[:3]) if raw[:3].isdigit() else 0

    @property
    def enhanced(self):
        """The enhanced status code of the last line, or an empty text."""
        word = self.lines[-1].split(" ")[0] if self.lines else ""
        return word if word.count(".") == 2 and word.replace(".", "").isdigit() else ""

    def __repr__(self):
        return self.raw.decode("utf-8", "replace").strip().replace("\r\n", " | ") or "(closed)"


def stuffed(message):
    """A message with CRLF line ends, made ready for DATA: dots doubled, end of data added."""
    if message.startswith(b"."):
        message = b"." + message
    message = message.replace(b"\r\n.", b"\r\n..")
    return message + (b".\r\n" if message.endswith(b"\r\n") else END)


def unstuffed(data):
    """What was sent between 354 and the reply, without the dots: the message itself."""
    body = b"\r\n" + data[:-3]
    return body.replace(b"\r\n.", b"\r\n")[2:]


class Client:
    """An SMTP client that sends what it is told and waits for whole replies."""

    def __init__(self, address, port=25, source=None, timeout=30.0, greeting=True):
        self._sock = socket.create_connection((address, port), timeout,
                                              source_address=(source, 0) if source else None)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self.greeting = self.reply() if greeting else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._sock.close()

    def reset(self):
        """Goes away with a TCP reset, as a machine that crashed would."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._sock.close()

    def send(self, data):
        self._sock.sendall(data)

    def _line(self):
        while b"\n" not in self._buffer:
            try:
                more = self._sock.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                more = b""
            if not more:
                line, self._buffer = self._buffer, b""
                return line
            self._buffer += more
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line + b"\n"

    def reply(self):
        """The next whole reply; code 0 when the connection is closed."""
        raw = b""
        while True:
            line = self._line()
            raw += line
            if not line.endswith(b"\n") or line[3:4] != b"-":
                return Reply(raw)

    def command(self, line):
        self.send(line.encode("utf-8") + b"\r\n" if isinstance(line, str) else line + b"\r\n")
        return self.reply()

    def extra(self, seconds=0.3):
        """Replies that come without having been asked for, until silence or the end."""
        found, before = [], self._sock.gettimeout()
        self._sock.settimeout(seconds)
        try:
            while True:
                found.append(self.reply())
                if found[-1].code == 0:
                    break
        except TimeoutError:
            pass
        finally:
            self._sock.settimeout(before)
        return found

    def starttls(self, context, name=None):
        answer = self.command("STARTTLS")
        if answer.code == 220:
            self._sock = context.wrap_socket(self._sock, server_hostname=name)
        return answer

    def mail(self, sender, recipients, message, helo="client.example", stuff=True):
        """One transaction; Outcome has every reply. Goes on with the recipients accepted."""
        outcome = Outcome()
        if helo:
            outcome.helo = self.command(f"EHLO {helo}")
        outcome.sender = self.command(f"MAIL FROM:<{sender}>")
        if outcome.sender.code != 250:
            return outcome
        outcome.recipients = [self.command(f"RCPT TO:<{r}>") for r in recipients]
        if not any(r.code in (250, 251) for r in outcome.recipients):
            return outcome
        outcome.data = self.command("DATA")
        if outcome.data.code == 354:
            self.send(stuffed(message) if stuff else message)
            outcome.dot = self.reply()
        return outcome


class Outcome:
    """The replies of one transaction; None for what was not asked."""

    def __init__(self):
        self.helo = self.sender = self.data = self.dot = None
        self.recipients = []

    @property
    def last(self):
        asked = [self.helo, self.sender, *self.recipients, self.data, self.dot]
        return [r for r in asked if r is not None][-1]

    def __repr__(self):
        return (f"MAIL {self.sender} RCPT {self.recipients} DATA {self.data} dot {self.dot}")


class Drop:
    """In a script: closes the connection instead of a reply; reset=True by a TCP reset."""

    def __init__(self, reset=False):
        self.reset = reset


class After:
    """In a script: the reply comes after so many seconds."""

    def __init__(self, seconds, reply):
        self.seconds, self.reply = seconds, reply


class Never:
    """In a script: no reply until the client goes away."""


class Transaction:
    """One mail as a server saw it. data is every byte after 354 up to and with the final dot."""

    def __init__(self, session, sender):
        self.session, self.sender = session, sender
        self.recipients, self.refused = [], []
        self.data = b""
        self.replies = []
        self.time = 0.0

    @property
    def message(self):
        return unstuffed(self.data)

    def __repr__(self):
        return f"<{self.sender} to {self.recipients}, {len(self.data)} bytes: {self.replies}>"


class Session:
    """One connection: who came, every byte that it sent, and its transactions."""

    def __init__(self, peer):
        self.peer, self.helo, self.tls = peer, None, False
        self.bytes_in = b""
        self.transactions = []


class Server:
    """A scripted server. Without a script it takes everything.

    script: stage -> reply, or function(argument, Session) -> reply. Stages: connect, ehlo, mail,
    rcpt, data, dot (argument: the Transaction), rset, quit, other. A reply is text without CRLF,
    bytes as they are to be sent, Drop, After or Never. mails holds what was accepted at the dot,
    sessions everything.
    """

    EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN",
                  "SIZE 100000000")

    def __init__(self, address, port=25, script=None, name="sink.example", tls=None,
                 extensions=EXTENSIONS, lmtp=False):
        self.address, self.port, self.name, self.lmtp = address, port, name, lmtp
        self.script, self.tls, self.extensions = dict(script or {}), tls, list(extensions)
        self.sessions = []
        self.mails = []
        self._lock = threading.Lock()
        self._listener = None
        self._connections = []

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self):
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self._listener = socket.create_server((self.address, self.port), family=family,
                                              backlog=256)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def stop(self):
        """Refuses connections from now on, and ends those that are open."""
        if self._listener is None:
            return
        # shutdown wakes accept(); close alone would leave the port busy until the next client.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listener = None
        with self._lock:
            connections = [c for c in self._connections if c.sock.fileno() >= 0]
        for each in connections:
            try:
                each.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def transactions(self):
        with self._lock:
            return [t for s in self.sessions for t in s.transactions]

    def _accept(self, listener):
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:
                return
            session = Session(peer[0])
            connection = self.CONNECTION(self, sock, session)
            with self._lock:
                self.sessions.append(session)
                self._connections.append(connection)
            threading.Thread(target=connection.serve, daemon=True).start()

    def accepted(self, transaction):
        with self._lock:
            self.mails.append(transaction)


@contextlib.contextmanager
def serving(servers):
    """All of that dict of servers, as long as it lasts."""
    with contextlib.ExitStack() as started:
        for server in servers.values():
            started.enter_context(server)
        yield servers


def first_digit(reply):
    """Of a reply that is text or bytes; 0 where it has none."""
    digit = reply[:1].decode("latin-1") if isinstance(reply, bytes) else reply[:1]
    return int(digit) if digit.isdigit() else 0


class _Closed(Exception):
    pass


class Connection:
    """The conversation of one client with a Server."""

    def __init__(self, server, sock, session):
        self.server, self.sock, self.session = server, sock, session
        self.buffer = b""
        self.transaction = None

    def serve(self):
        server = self.server
        self.sock.settimeout(120)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.say("connect", "", f"220 {server.name} ESMTP")
            while True:
                line = self.until(b"\r\n")
                verb, _, argument = line[:-2].decode("utf-8", "replace").partition(" ")
                self.command(verb.upper(), argument)
        except (_Closed, OSError):
            pass
        finally:
            self.sock.close()

    def command(self, verb, argument):
        if verb in ("EHLO", "HELO", "LHLO"):
            self.session.helo, self.transaction = argument, None
            self.say("ehlo", argument, self.hello(verb))
        elif verb == "MAIL":
            self.begin(argument)
        elif verb == "RCPT":
            self.recipient(argument)
        elif verb == "DATA":
            self.data()
        elif verb == "STARTTLS" and self.server.tls is not None:
            self.send(b"220 2.0.0 go on\r\n")
            self.sock = self.server.tls.wrap_socket(self.sock, server_side=True)
            self.session.tls, self.transaction = True, None
        elif verb == "RSET":
            self.transaction = None
            self.say("rset", argument, "250 2.0.0 reset")
        elif verb == "QUIT":
            self.say("quit", argument, "221 2.0.0 bye")
            raise _Closed
        else:
            self.say("other", f"{verb} {argument}".strip(),
                     "250 2.0.0 ok" if verb == "NOOP" else "502 5.5.1 not here")

    def hello(self, verb):
        words = list(self.server.extensions) if verb != "HELO" else []
        if words and self.server.tls is not None and not self.session.tls:
            words.append("STARTTLS")
        lines = [self.server.name, *words]
        return "\r\n".join(f"250{'-' if i < len(lines) - 1 else ' '}{line}"
                           for i, line in enumerate(lines))

    def begin(self, argument):
        sender = argument.partition("<")[2].rpartition(">")[0]
        if self.say("mail", argument, "250 2.1.0 sender") == 2:
            self.transaction = Transaction(self.session, sender)
            self.session.transactions.append(self.transaction)

    def recipient(self, argument):
        recipient = argument.partition("<")[2].rpartition(">")[0]
        if self.transaction is None:
            self.send(b"503 5.5.1 MAIL first\r\n")
        elif self.say("rcpt", recipient, "250 2.1.5 recipient") == 2:
            self.transaction.recipients.append(recipient)
        else:
            self.transaction.refused.append(recipient)

    def data(self):
        transaction = self.transaction
        if transaction is None or not transaction.recipients:
            self.send(b"503 5.5.1 no recipient\r\n")
            return
        if self.say("data", "", "354 go on") != 3:
            return
        # A dot as the very first line ends the data, too.
        transaction.data = self.until(END, b".\r\n")
        transaction.time = time.monotonic()
        self.transaction = None
        # LMTP answers once for each recipient (RFC 2033 4.2).
        for _ in transaction.recipients if self.server.lmtp else [None]:
            reply = self.decide("dot", transaction, "250 2.0.0 taken")
            transaction.replies.append(first_digit(reply))
            # Counted before the client can hear of it, and act on it.
            if transaction.replies.count(2) == 1 and transaction.replies[-1] == 2:
                self.server.accepted(transaction)
            self.answer(reply)

    def until(self, mark, at_start=None):
        """Every byte up to and with the mark; what follows stays for the next command."""
        while True:
            if at_start and self.buffer.startswith(at_start):
                end = len(at_start)
                break
            at = self.buffer.find(mark)
            if at >= 0:
                end = at + len(mark)
                break
            more = self.sock.recv(65536)
            if not more:
                raise _Closed
            self.session.bytes_in += more
            self.buffer += more
        found, self.buffer = self.buffer[:end], self.buffer[end:]
        return found

    def say(self, stage, argument, default):
        """Carries the script's answer for a stage out, and returns its first digit."""
        reply = self.decide(stage, argument, default)
        self.answer(reply)
        return first_digit(reply)

    def decide(self, stage, argument, default):
        """The script's answer, text or bytes, after its delay; an end of the connection is made."""
        reply = self.server.script.get(stage, default)
        if callable(reply):
            reply = reply(argument, self.session)
            reply = default if reply is None else reply
        if isinstance(reply, After):
            time.sleep(reply.seconds)
            reply = reply.reply if reply.reply is not None else default
        if isinstance(reply, Never) or reply is Never:
            while self.sock.recv(65536):
                pass
            raise _Closed
        if isinstance(reply, Drop) or reply is Drop:
            if getattr(reply, "reset", False) is True:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                     b"\1\0\0\0\0\0\0\0")
            raise _Closed
        return reply

    def answer(self, reply):
        self.send(reply if isinstance(reply, bytes) else reply.encode("utf-8") + b"\r\n")
        if isinstance(reply, str) and reply.startswith("421"):
            raise _Closed

    def send(self, data):
        self.sock.sendall(data)


Server.CONNECTION = Connection  # a test may have another one


def message(subject="test", sender="alice@sender.example", to="bob@example.com", body="Hello.\r\n",
            **headers):
    """A small well-formed message with CRLF line ends. headers: reply_to="x" gives Reply-To: x."""
    lines = [f"From: <{sender}>", f"To: <{to}>", f"Subject: {subject}",
             "Date: Sun, 22 Nov 2026 12:00:00 +0000",
             f"Message-ID: <{abs(hash((subject, time.monotonic_ns())))}@sender.example>"]
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("utf-8")

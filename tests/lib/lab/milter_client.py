"""The MTA's side of the milter protocol: what is sent byte by byte, what is answered and edited.

    with milter.Mta("127.0.0.1", 8891) as mta:          # or Mta(path="/run/x.sock")
        mta.negotiate()                                  # mta.agreed: version, actions, steps
        mta.connect("mail.sender.example", "192.0.2.70")
        outcome = mta.mail("a@sender.example", ["b@example.com"], smtp.message())
        outcome.last, outcome.edits, milter.edited(outcome, message)

A step that was negotiated away is not sent, one without a reply is not waited for: both give
None. Macros go with the step that they are given to: macros={"i": "4F1", "{auth_authen}": "ann"}.
"""
import socket
import struct

# What a milter may do (SMFIF_) and which steps there are (SMFIP_), by libmilter's mfdef.h.
ADD_HEADERS, CHANGE_BODY, ADD_RCPT, DELETE_RCPT = 0x1, 0x2, 0x4, 0x8
CHANGE_HEADERS, QUARANTINE, CHANGE_SENDER, ADD_RCPT_PARAMS = 0x10, 0x20, 0x40, 0x80
CHOOSE_MACROS = 0x100
SKIP, RCPT_REFUSED, HEADER_SPACE = 0x400, 0x800, 0x100000
DATA_256K, DATA_1M = 0x10000000, 0x20000000
# Step -> (not sent, not answered).
STEPS = {"C": (0x1, 0x1000), "H": (0x2, 0x2000), "M": (0x4, 0x4000), "R": (0x8, 0x8000),
         "B": (0x10, 0x80000), "L": (0x20, 0x80), "N": (0x40, 0x40000), "U": (0x100, 0x20000),
         "T": (0x200, 0x10000)}
# By protocol version: all that an MTA of that version offers.
ACTIONS = {2: 0x3f, 3: 0x3f, 4: 0x3f, 6: 0x1ff}
OFFERS = {2: 0x7f, 3: 0x17f, 4: 0x37f, 6: 0x1fffff}
STAGES = ("connect", "helo", "mail", "rcpt", "data", "end", "header-end")
CHUNK = 65535
VERDICTS = {"c": "continue", "a": "accept", "r": "reject", "t": "tempfail", "d": "discard",
            "s": "skip", "y": "reply", "f": "connection failure", "4": "shutdown", "": "closed"}


class Agreed:
    """The milter's side of the negotiation; macros: {stage: "i {auth_authen}"} as it chose."""

    def __init__(self, data):
        self.version, self.actions, self.steps = struct.unpack(">III", data[:12])
        self.macros, rest = {}, data[12:]
        while rest:
            stage, (names, _, rest) = struct.unpack(">I", rest[:4])[0], rest[4:].partition(b"\0")
            self.macros[STAGES[stage]] = names.decode()


class Answer:
    """The answer to one step: its letter, the reply of a "y", and what came before it at the end.

    edits: (letter, data) in their order; progress: how often the milter asked for patience.
    """

    def __init__(self, letter, data=b"", edits=(), progress=0):
        self.letter, self.raw = letter, data
        self.edits, self.progress = list(edits), progress

    @property
    def verdict(self):
        return VERDICTS.get(self.letter, f"unknown {self.letter!r}")

    @property
    def text(self):
        """The reply as the MTA gives it: it reads the text as a format, in which %% is a %."""
        return self.raw.rstrip(b"\0").decode("utf-8", "replace").replace("%%", "%")

    @property
    def code(self):
        """What the client of the MTA sees; 250 stands for "go on"."""
        return {"y": int(self.text[:3]) if self.letter == "y" else 0, "r": 550, "t": 451, "c": 250,
                "a": 250, "d": 250, "s": 250, "4": 421}.get(self.letter, 0)

    @property
    def lines(self):
        return [line[4:] for line in self.text.split("\r\n")]

    def __repr__(self):
        return f"{self.verdict} {self.text if self.letter == 'y' else ''}".strip()


class Outcome:
    """The answers of one mail, None for steps that were not sent or not answered."""

    def __init__(self):
        self.sender = self.data = self.end = None
        self.recipients, self.headers, self.body = [], [], []
        self.header_end = None

    @property
    def last(self):
        asked = [self.sender, *self.recipients, self.data, *self.headers, self.header_end,
                 *self.body, self.end]
        return [a for a in asked if a is not None][-1]

    @property
    def edits(self):
        return self.end.edits if self.end else []

    def __repr__(self):
        return f"MAIL {self.sender} RCPT {self.recipients} end {self.end}"


class Mta:
    """One connection to a milter. Nothing is repaired: what is sent wrong arrives wrong."""

    def __init__(self, address=None, port=8891, path=None, timeout=30.0, sock=None):
        if sock is not None:
            self.sock = sock
        elif path is not None:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(str(path))
        else:
            self.sock = socket.create_connection((address, port), timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.agreed = None
        self.closed = False
        self._skip_body = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def packet(self, letter, data=b""):
        """One packet as it is."""
        try:
            self.sock.sendall(struct.pack(">I", len(data) + 1) + letter.encode("latin-1") + data)
        except (BrokenPipeError, ConnectionResetError):
            self.closed = True

    def _exactly(self, n):
        got = b""
        while len(got) < n:
            try:
                more = self.sock.recv(n - len(got))
            except ConnectionResetError:
                more = b""
            if not more:
                self.closed = True
                return None
            got += more
        return got

    def receive(self):
        """One packet: (letter, data); ("", b"") when the milter has closed."""
        head = self._exactly(4)
        body = self._exactly(struct.unpack(">I", head)[0]) if head else None
        return (body[:1].decode("latin-1"), body[1:]) if body else ("", b"")

    def answer(self):
        """The next verdict, with the edits and signs of life before it."""
        edits, progress = [], 0
        while True:
            letter, data = self.receive()
            if letter == "p":
                progress += 1
            elif letter in VERDICTS:
                return Answer(letter, data, edits, progress)
            else:
                edits.append((letter, data))

    def negotiate(self, version=6, actions=None, steps=None):
        """Offers what an MTA of that version has, or what is given: Agreed, or None if closed."""
        known = max(v for v in OFFERS if v <= max(version, 2))
        self.packet("O", struct.pack(">III", version,
                                     ACTIONS[known] if actions is None else actions,
                                     OFFERS[known] if steps is None else steps))
        letter, data = self.receive()
        self.agreed = Agreed(data) if letter == "O" else None
        return self.agreed

    def macros(self, letter, values):
        self.packet("D", letter.encode() + b"".join(
            name.encode() + b"\0" + value.encode("utf-8") + b"\0"
            for name, value in values.items()))

    def step(self, letter, data=b"", macros=None):
        """A step as negotiated: its Answer, or None."""
        not_sent, not_answered = STEPS[letter] if letter in STEPS else (0, 0)
        steps = self.agreed.steps if self.agreed else 0
        if steps & not_sent:
            return None
        if macros is not None:
            self.macros(letter, macros)
        self.packet(letter, data)
        return None if steps & not_answered else self.answer()

    def connect(self, name, address=None, port=25000, macros=None):
        """address: IPv4 or IPv6, a path for a local client, None where it is not known."""
        data = name.encode() + b"\0"
        if address is None:
            data += b"U"
        elif address.startswith("/"):
            data += b"L\0\0" + address.encode() + b"\0"
        else:
            data += (b"6" if ":" in address else b"4") + struct.pack(">H", port)
            data += address.encode() + b"\0"
        return self.step("C", data, macros)

    def helo(self, name, macros=None):
        return self.step("H", name.encode() + b"\0", macros)

    def sender(self, address, *parameters, macros=None):
        """MAIL: address without <>; it is sent with them, as MTAs do."""
        words = [f"<{address}>", *parameters]
        return self.step("M", b"".join(w.encode("utf-8") + b"\0" for w in words), macros)

    def recipient(self, address, *parameters, macros=None):
        words = [f"<{address}>", *parameters]
        return self.step("R", b"".join(w.encode("utf-8") + b"\0" for w in words), macros)

    def data(self, macros=None):
        return self.step("T", b"", macros)

    def header(self, name, value, macros=None):
        """value: as it stands behind the colon, folds and leading space with it."""
        if not self.agreed.steps & HEADER_SPACE:
            value = value[1:] if value[:1] == b" " else value
        return self.step("L", name + b"\0" + value + b"\0", macros)

    def header_end(self, macros=None):
        return self.step("N", b"", macros)

    def body(self, chunk):
        """None too where the milter has said that it wants no more of it."""
        if self._skip_body:
            return None
        answer = self.step("B", chunk)
        if answer is not None and answer.letter == "s":
            self._skip_body = True
        return answer

    def end(self, chunk=b"", macros=None):
        self._skip_body = False
        return self.step("E", chunk, macros)

    def unknown(self, command):
        return self.step("U", command.encode() + b"\0")

    def abort(self):
        self._skip_body = False
        self.packet("A")

    def quit(self):
        self.packet("Q")

    def next_session(self):
        """QUIT, and another session over the same connection: connect() comes next."""
        self.packet("K")

    def mail(self, sender, recipients, message, chunk=CHUNK, macros=None):
        """A mail from MAIL to its end, as an MTA sends it; stops at the first "no" to the mail.

        macros: {letter: {name: value}}. Recipients that are refused are left out; without any
        left the mail is aborted. After an "a" or "d" nothing more is sent.
        """
        macros, outcome = macros or {}, Outcome()
        outcome.sender = self.sender(sender, macros=macros.get("M"))
        if _over(outcome.sender):
            return outcome
        for address in recipients:
            outcome.recipients.append(self.recipient(address, macros=macros.get("R")))
            if outcome.recipients[-1] is not None and outcome.recipients[-1].letter in "ad":
                return outcome
        if recipients and all(a is not None and a.letter in "yrt4" for a in outcome.recipients):
            self.abort()
            return outcome
        outcome.data = self.data(macros.get("T"))
        if not _over(outcome.data):
            self._content(outcome, message, chunk, macros)
        return outcome

    def _content(self, outcome, message, chunk, macros):
        fields, body = split(message)
        for name, value in fields:
            outcome.headers.append(self.header(name, value.replace(b"\r\n", b"\n"),
                                               macros.get("L")))
            if _over(outcome.headers[-1]):
                return
        outcome.header_end = self.header_end(macros.get("N"))
        if _over(outcome.header_end):
            return
        for at in range(0, len(body), chunk):
            outcome.body.append(self.body(body[at:at + chunk]))
            if _over(outcome.body[-1]):
                return
        outcome.end = self.end(macros=macros.get("E"))


def _over(answer):
    return answer is not None and answer.letter not in "cs"


def split(message):
    """([(name, value as it stands behind the colon, without the last CRLF)], body)."""
    head, _, body = message.partition(b"\r\n\r\n")
    fields = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] = (fields[-1][0], fields[-1][1] + b"\r\n" + line)
        elif line:
            name, _, value = line.partition(b":")
            fields.append((name, value))
    return fields, body


def edited(outcome, message, space):
    """The message after the edits of headers and body; space: whether values carry their own.

    An index of an insertion counts all fields; one of a change counts those of its name, from 1.
    """
    fields, body = split(message)
    replaced = None
    for letter, data in outcome.edits:
        if letter in "him":
            at = 0 if letter == "h" else struct.unpack(">I", data[:4])[0]
            name, value = data[0 if letter == "h" else 4:].rstrip(b"\0").partition(b"\0")[::2]
            value = (b"" if space else b" ") + value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            if letter == "m":
                _change(fields, name, at, value if data[-2:] != b"\0\0" else None)
            else:
                fields.insert(at if letter == "i" else len(fields), (name, value))
        elif letter == "b":
            replaced = (replaced or b"") + data
    head = b"".join(name + b":" + value + b"\r\n" for name, value in fields)
    return head + b"\r\n" + (body if replaced is None else replaced)


def _change(fields, name, index, value):
    """value None: the field is deleted. An index past the last one of its name adds it."""
    places = [i for i, (other, _) in enumerate(fields) if other.lower() == name.lower()]
    if index <= len(places):
        at = places[max(index, 1) - 1]
        fields[at:at + 1] = [] if value is None else [(fields[at][0], value)]
    elif value is not None:
        fields.append((name, value))


def envelope(outcome, recipients):
    """The recipients after the edits, without <>."""
    left = list(recipients)
    for letter, data in outcome.edits:
        address = data.split(b"\0")[0].decode("utf-8").strip("<>")
        if letter in "+2":
            left.append(address)
        elif letter == "-" and address in left:
            left.remove(address)
    return left

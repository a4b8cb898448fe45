"""The scripted servers of the Exim test suite against the whole gateway (OUT-03, OUT-04, OUT-05,
OUT-09): each is the only mail server of a destination of its own, for one connection; whoever
comes again finds a server that takes everything.

What must come of the script's first mail is computed from the script alone, reply by reply: what
the client hears, who of the recipients waits in the spool, who is told of by a DSN, and that in the
end all that were not refused for good have their mail, once. tests/unit/smtp_client_dialogs_test.c
plays the same scripts to the client machine. Scripts that cannot be played are counted with their
reason in the figures of tests/run.
"""
import collections
import concurrent.futures
import email
import os
import re
import threading
import time

import pytest

from lab import proc, smtp
from lab.spool import Spool

pytestmark = pytest.mark.slow
GATE, SUBMIT, OWN = "192.0.2.156", "192.0.2.157", "198.51.100.8"
BUDGET_S = 8
CONFIG = f"""\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{{spool}}"
listen inbound on "{GATE}:25"
listen outbound on "{SUBMIT}:25" from {{{{ 192.0.2.64/26 }}}}
domain "ours.example" deliver to "{OWN}:25"
send direct answer within {BUDGET_S}s per mail
queue {{{{ retry after 1s, up to 2s lifetime 10m }}}}
inbound {{{{ accept }}}}
outbound {{{{ accept }}}}
"""
LEAST = 200
# Scripts that the requirements name: each has to be played. (1164 of OUT-05 is a call-out.)
NAMED = {"OUT-01": "0190 0461 0388", "OUT-03": "0209 0276 0357 0358 0543 0554 0497 0285 0286",
         "OUT-04": "0525 0106", "OUT-05": "1158 1161 1167"}


class LeftOut(Exception):
    """This script cannot be played; why."""


def code_of(line):
    """Of a reply's last line; 0: no reply that a client could take; None: more lines follow."""
    line = line.removeprefix(">").rpartition("\\x0a")[2]
    if not re.match(r"[2-5]\d\d([ -]|$)", line):
        return 0
    return None if line[3:4] == "-" else int(line[:3])


class Script:
    """One dialogue: its lines, and what they say must become of the first mail."""

    def __init__(self, path):
        self.name = path.stem
        self.lines = path.read_text("latin-1").splitlines()[1:]
        self.rcpt, self.mail, self.data, self.dot = [], None, None, None
        self.read()

    def __repr__(self):
        return self.name

    def read(self):
        owed, verbs = None, []
        for line in self.lines:
            if line.startswith(">*eof"):
                break
            if line[:1].isdigit() or line.startswith(">"):
                code = code_of(line)
                if owed is not None and code is not None:
                    self.set(owed, code)
                    owed = None
                continue
            verb = line.removeprefix("<").removeprefix("<")[:4].upper()
            if verb in ("RSET", "QUIT") or (verb == "MAIL" and "MAIL" in verbs):
                break
            verbs.append(verb)
            if verb == "MAIL":
                self.mail, owed = 0, "mail"
            elif verb == "RCPT":
                self.rcpt.append(0)
                owed = "rcpt"
            elif verb == "DATA":
                self.data, owed = 0, "data"
            elif line == ".":
                self.dot, owed = 0, "dot"
        self.rcpt = self.rcpt or [0]
        text = "\n".join(self.lines)
        self.tls_breaks = bool(re.search(r"^STARTTLS\n220", text, re.MULTILINE)
                               and "*starttls" not in text)

    def set(self, what, code):
        if what == "rcpt":
            self.rcpt[-1] = code
        else:
            setattr(self, what, code)

    def why_not(self):
        """Why it cannot be played; None: it can."""
        text = "\n".join(self.lines)
        if not any(re.match(r"(>+)?[245]\d\d", line) for line in self.lines[:2]):
            return "no SMTP server: a scanner, a proxy, an ident server, or nothing at all"
        for word, why in (("LHLO", "LMTP, which is for declared domains: test_queue_ways"),
                          ("BDAT", "CHUNKING is not spoken"), ("AUTH ", "AUTH goes to smarthosts"),
                          ("*data", "the script counts bytes")):
            if re.search(rf"^<*{re.escape(word)}", text, re.MULTILINE):
                return why
        if self.mail is not None and self.data is None and 200 <= self.mail < 300 and any(
                200 <= c < 300 for c in self.rcpt):
            return "a call-out of Exim's, which sends no mail"
        return None

    def fates(self):
        """Of each recipient: delivered, refused or waiting; elsewhere: delivered in clear."""
        n = len(self.rcpt)
        if self.tls_breaks:
            return ["elsewhere"] * n
        if self.mail is None or self.mail // 100 in (0, 3) or self.mail == 421:
            return ["waiting"] * n
        if self.mail >= 400:
            return ["refused" if self.mail >= 500 else "waiting"] * n
        if 421 in self.rcpt or 0 in self.rcpt:
            return ["waiting"] * n
        rest = self.data
        if rest is not None and rest // 100 == 3:
            rest = self.dot
        after = {2: "delivered", 5: "refused"}.get((rest or 0) // 100, "waiting")
        if self.data is not None and self.data // 100 == 2:
            after = "waiting"  # 2yz to DATA is no answer
        return [{2: after, 5: "refused"}.get(c // 100, "waiting") for c in self.rcpt]


class Player:
    """The server of one script, and whatever its sender needs."""

    def __init__(self, script, number):
        self.script, self.number = script, number
        self.address = f"2001:db8::5:{number:x}"
        self.sender = f"ann{number}@ours.example"
        self.recipients = [f"u{i}@s{number}.dialogs.example" for i in range(len(script.rcpt))]
        self.zone = f"s{number} MX 10 mx{number}\nmx{number} AAAA {self.address}\n"
        self.left_out = None


class Scripted(smtp.Server):
    """smtp.Server, whose first connection plays a script."""

    def __init__(self, player, tls):
        self.player, self.tls_context = player, tls
        super().__init__(player.address)

    def _accept(self, listener):
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=self.play, args=(sock,), daemon=True).start()
        super()._accept(listener)

    def play(self, sock):
        player = self.player
        sock.settimeout(60)
        try:
            self.lines(sock)
        except LeftOut as e:
            player.left_out = str(e)
        except (OSError, ValueError):
            pass
        finally:
            sock.close()

    def lines(self, sock):
        buffer, begun = b"", False
        for line in self.player.script.lines:
            if line[:1].isdigit() or line.startswith(">"):
                if line.startswith(">*eof"):
                    return
                sock.sendall(output(line))
            elif line.startswith("*sleep"):
                time.sleep(int(line.split()[1]))
            elif line.startswith("*starttls"):
                sock = self.tls_context.wrap_socket(sock, server_side=True)
            elif line.startswith("*"):
                return
            elif line == ".":
                while not buffer.endswith(b"\r\n.\r\n"):
                    buffer += received(sock)
                buffer = b""
            else:
                while b"\n" not in buffer:
                    buffer += received(sock)
                said, buffer = buffer.split(b"\n", 1)
                want = line.lstrip("<")[:4].upper()
                begun = begun or want == "MAIL"
                if said[:4].upper() != want.encode("latin-1"):
                    over = begun and said[:4].upper() in (b"QUIT", b"RSET")
                    if not over:
                        raise LeftOut(f"the script wants {want}, we say {said[:4].decode()}")
                    return


def received(sock):
    more = sock.recv(65536)
    if not more:
        raise OSError("closed")
    return more


def output(line):
    end = b"\r\n"
    if line.startswith(">>"):
        line, end = line[2:], b""
    elif line.startswith(">CR>") or line.startswith(">LF>"):
        line, end = line[4:], b"\r" if line[1] == "C" else b"\n"
    elif line.startswith(">"):
        line = line[1:]
    raw = re.sub(rb"\\x([0-9a-fA-F]{2})|\\\\",
                 lambda m: bytes([int(m[1], 16)]) if m[1] else b"\\", line.encode("latin-1"))
    return raw + end


class World:
    """The gateway and all players, and what each mail came to."""

    def __init__(self, gate, own):
        self.gate, self.spool, self.own = gate, Spool(gate), own

    def refused_for_us(self, player):
        """Refusals that are no refusals of the recipient, by the rules of failures."""
        return [e for e in self.gate.events("queue", sender=player.sender, what="put off")
                if e["reply"].startswith("5") and e["reason"] in ("listed", "greylisted")]

    def notices(self, player):
        return [email.message_from_bytes(m.message) for m in list(self.own.mails)
                if m.recipients == [player.sender]]

    def play(self, player):
        script = player.script
        with smtp.Client(SUBMIT, source=f"192.0.2.{65 + player.number % 60}",
                         timeout=60) as client:
            said = client.mail(player.sender, player.recipients, smtp.message(
                script.name, player.sender, player.recipients[0]))
        if player.left_out:
            return
        fates = script.fates()
        if self.refused_for_us(player):
            fates = ["waiting" if f == "refused" else f for f in fates]
        self.judge(player, said, fates)

    def judge(self, player, said, fates):
        script, text = player.script, str(said.dot)
        counts = collections.Counter(fates)
        pauses = sum(int(line.split()[1]) for line in script.lines if line.startswith("*sleep"))
        waits = counts["waiting"]
        if counts["refused"] == len(fates):
            codes = {c for c in (script.mail, *script.rcpt, script.data, script.dot) if c}
            assert said.dot.code in codes and said.dot.code >= 500, (said, codes)
        else:
            assert said.dot.code == 250, (said, fates)
            if pauses < BUDGET_S / 2:
                assert self.counted(text, len(fates)) == (
                    counts["delivered"] + counts["elsewhere"], counts["refused"], waits), \
                    (said, fates)
        self.spool.wait_empty(player.sender, 60)
        arrived = sorted(r for m in list(player.server.mails) for r in m.recipients)
        assert arrived == sorted(r for r, f in zip(player.recipients, fates)
                                 if f in ("waiting", "elsewhere")), (said, fates)
        self.check_notices(player, fates)

    @staticmethod
    def counted(text, n):
        found = re.search(r"(\d+) delivered, (\d+) refused, (\d+) queued", text)
        if found:
            return tuple(int(x) for x in found.groups())
        return (n, 0, 0) if "Delivered" in text else (0, 0, n)

    def check_notices(self, player, fates):
        """The refused ones, unless the reply has told all."""
        refused = [r for r, f in zip(player.recipients, fates) if f == "refused"]
        if len(refused) == len(fates):
            refused = []
        if refused:
            proc.wait_until(lambda: self.notices(player), "the notice", 30)
        told = []
        for notice in self.notices(player):
            for block in notice.get_payload(1).get_payload()[1:]:
                assert block["Action"] == "failed" and block["Status"][0] == "5"
                told.append(block["Final-Recipient"].partition("; ")[2])
        assert sorted(told) == sorted(refused)


@pytest.fixture(scope="module")
def players(suite):
    found = []
    for path in sorted(suite("exim-dialogs/server").glob("*.txt")):
        player = Player(Script(path), len(found))
        player.left_out = player.script.why_not()
        found.append(player)
    return found


@pytest.fixture(scope="module")
def results(players, nsd, authority, gateway_module, tmp_path_factory):
    """{script: what was wrong}, of those that could be played."""
    playing = [p for p in players if p.left_out is None]
    nsd.set({"ours.example": f"@ MX 10 mx\nmx A {GATE}\n",
             "dialogs.example": "".join(p.zone for p in playing)})
    nsd.restart()
    tls = authority.server_context("mx.dialogs.example")
    own = smtp.Server(OWN).start()
    for player in playing:
        player.server = Scripted(player, tls).start()
    spool = tmp_path_factory.mktemp("dialogs") / "spool"
    world = World(gateway_module(CONFIG.format(spool=spool)), own)
    wrong = {}
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        under_way = {player: pool.submit(world.play, player) for player in playing}
        for player, future in under_way.items():
            error = future.exception()
            if error is not None and player.left_out is None:
                wrong[player.script.name] = f"{type(error).__name__}: {error}"
    yield wrong
    for server in (own, *(p.server for p in playing)):
        server.stop()


def test_dialogs(results):
    assert not results, "\n".join(f"{name}: {why}" for name, why in sorted(results.items()))


def test_enough_are_played(results, players):
    reasons = collections.Counter(p.left_out for p in players)
    played = reasons.pop(None, 0)
    figures = os.environ.get("POSTERN_FIGURES")
    lines = [f"exim-dialogs-gateway\t{played} of {len(players)}\tscripted servers of Exim's suite "
             "played against the whole gateway"]
    lines += [f"exim-dialogs-gateway-left-out\t{n}\t{why}" for why, n in reasons.most_common()]
    print("\n".join(lines))
    if figures:
        with open(figures, "a", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
    assert played >= LEAST
    for requirement, numbers in NAMED.items():
        for number in numbers.split():
            mine = [p for p in players if p.script.name.startswith(number)]
            assert any(p.left_out is None for p in mine), (requirement, number, [
                p.left_out for p in mine])

"""Teaching a running gateway: `postern learn`, `unlearn`, and what people do in the quarantine.

What was taught judges the next mail, in every process and without a reload; it is there after a
reload, a restart, a kill -9 of the keeper, of the tool or of all at any moment; a full disk is said.
The short form kills 12 times, the long one 200 times (POSTERN_KILLS: another number; POSTERN_SEED:
the same moments again).
"""
import collections
import json
import os
import random
import re
import signal
import struct
import subprocess
import time

import pytest

from lab import postern, proc, smtp, terminal
from lab.hand import Hand

GATE, SERVER, CLIENT = "192.0.2.184", "198.51.100.184", "192.0.2.119"
CONFIG = """\
hostname "mx.own.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{spool}"
listen inbound on "192.0.2.184:25"
domain "own.example" deliver to "198.51.100.184:25"
domain "two.example" deliver to "198.51.100.184:25"
{filter}
inbound {{
    quarantine "odd" if subject contains "odd"
    quarantine "spam" if spam > 0.8 and recipient is "kept@own.example"
    tag "X-Domain: 1" if spam.domain > 0.98
    tag "X-Seen: 1" if spam >= 0
    accept
}}
"""
FILTER = 'filter spam { model for { "two.example" } }'
WORDS = {
    # no words that any evidence knows: what judges them is what was taught
    "spam": "blue gannet|seven lamps|over the ridge|copper kettle|velvet harbour|quiet thunder",
    "ham": "minutes of the board|the build is green|lunch on tuesday|review of the patch|see attached|thanks",
}
HEAD = struct.Struct("<8s6I")
ENTRY = struct.Struct("<16siiB")
TABLES = 2 * 4 * (1 << 18)


def text(kind, number, subject=None):
    rng = random.Random(f"{kind}{number}")
    words = WORDS[kind].split("|")
    lines = [" ".join(rng.choice(words) for _ in range(4)) for _ in range(5)]
    return (f"From: <u{rng.randrange(9)}@{kind}.example>\nTo: <x@own.example>\n"
            f"Subject: {subject or rng.choice(words)}\nDate: Sun, 29 Nov 2026 10:00:00 +0000\n"
            f"Message-ID: <{kind}.{number}@a.example>\n\n" + "\n".join(lines) + f"\nnumber {number}\n")


def box(path, kind, numbers):
    path.write_text("".join(f"From a@b.example Sun Nov 29 10:00:00 2026\n{text(kind, n)}\n" for n in numbers))
    return path


def send(message, to="ann@own.example", sender="joe@else.example", code=250):
    with smtp.Client(GATE, source=CLIENT) as client:
        said = client.mail(sender, [to], message.replace("\n", "\r\n").encode())
        assert said.last.code == code, said


@pytest.fixture(scope="module")
def server():
    with smtp.Server(SERVER) as one:
        yield one


@pytest.fixture
def start(gateway, server, tmp_path):
    """start(): a gateway; its tools. The spool is the test's, wherever it is."""
    def begin(spool=None, config=CONFIG):
        spool = spool or proc.LAB / f"spool-{tmp_path.name}"
        one = Hand(gateway(config.format(spool=spool, filter=FILTER)), "learn")
        one.spool = spool
        return one
    return begin


def spam_of(server, subject):
    """What the gateway wrote into the mail of that subject."""
    def found():
        return [m for m in server.mails if f"Subject: {subject}\r\n".encode() in m.data]
    mail = proc.wait_until(found, f"a mail {subject}", 20)[-1]
    said = re.sub(rb"\r\n[ \t]", b" ", mail.data)
    evidence, = re.findall(rb"^X-Spam-Evidence: mx\.own\.example; (.*?)\r?$", said, re.M)
    fields = dict(re.findall(r"([a-z.]+)=([-+0-9.]+)", evidence.decode()))
    return float(fields["spam"]), fields


class Seen:
    def __init__(self, mail):
        self.subject = re.search(rb"^Subject: (.*)\r$", mail.message, re.M)[1].decode()
        self.is_marked = b"X-Domain: 1\r\n" in mail.message


def learned(hand, *words, status=0):
    return json.loads(hand.run(*words[:1], "--json", *words[1:], status=status))


def totals(hand, domain=""):
    models = [json.loads(line) for line in hand.run("status", "--json").splitlines()]
    model, = [m for m in models if m["domain"] == domain]
    return model["ham"], model["spam"]


def teach_both(hand, tmp_path, *words, n=60):
    ham, spam = box(tmp_path / "ham", "ham", range(n)), box(tmp_path / "spam", "spam", range(n))
    learned(hand, "ham", *words, ham)
    return learned(hand, "spam", *words, spam)


def test_judges_the_next_mail(start, server, tmp_path):
    """Without a reload, in every session process; it outlives a reload, a restart, a keeper."""
    hand = start()
    send(text("spam", 1000, "before"))
    before, fields = spam_of(server, "before")
    assert "model.site" not in fields, fields
    last = teach_both(hand, tmp_path)
    assert last["now"] == {"ham": 60, "spam": 60} and last["stored"], last
    assert last["judged_before"]["mails"] == last["judged_now"]["mails"] == 60
    for i in range(12):  # more connections than processes: each of them has taken some
        send(text("spam", 1000, f"after {i}"))
        after, fields = spam_of(server, f"after {i}")
        assert float(fields["model.site"]) > 0.5 and after > before, (i, before, after, fields)
    send(text("ham", 1000, "friendly"))
    assert float(spam_of(server, "friendly")[1]["model.site"]) < 0

    def still(subject):
        send(text("spam", 1000, subject))
        assert abs(spam_of(server, subject)[0] - after) < 0.01
        assert totals(hand) == (60, 60)
    hand.gate.reload()
    hand.gate.wait_event("reload")
    still("reloaded")
    keeper, = [pid for pid, name in hand.gate.processes().items() if name.startswith("keeper")]
    hand.gate.kill(keeper)
    proc.wait_until(lambda: keeper not in hand.gate.processes() and any(
        name.startswith("keeper") for name in hand.gate.processes().values()), "another keeper", 15)
    proc.wait_until(lambda: running(hand), "a keeper that answers", 15)
    still("killed")
    hand.gate.stop()
    hand.gate.log_path.unlink()
    hand.gate.start()
    still("restarted")
    back = json.loads(hand.run("--json", tmp_path / "spam", tool="unlearn"))
    assert back["new"] == 60 and back["now"] == {"ham": 60, "spam": 0}, back


def running(hand):
    done = subprocess.run(hand.command("learn", "status"), capture_output=True, check=False, timeout=60,
                          env={**os.environ, **postern.sanitizer_environment()})
    return done.returncode == 0


def test_domain(start, server, tmp_path):
    """A domain's own model is heard for its recipients; a domain without one is refused by name."""
    hand = start()
    spam = box(tmp_path / "spam", "spam", range(60))
    assert hand.run("spam", "--domain", "own.example", spam, status=1) == b""
    assert "own.example has no model of its own" in hand.said
    for to in ("bob@two.example", "ann@own.example"):
        send(text("spam", 2000, f"before {to}"), to=to)
    teach_both(hand, tmp_path, "--domain", "two.example")
    assert totals(hand, "two.example") == (60, 60) and totals(hand) == (0, 0)
    for to in ("bob@two.example", "ann@own.example"):
        send(text("spam", 2000, f"after {to}"), to=to)
    marked = {m.subject: m.is_marked for m in map(Seen, server.mails) if "@" in m.subject}
    assert marked == {"before bob@two.example": False, "before ann@own.example": False,
                      "after bob@two.example": True, "after ann@own.example": False}
    assert "model.domain" not in spam_of(server, "after ann@own.example")[1]
    # a reload that names the other one; what the first has learned stays for when it is named again
    hand.gate.write(CONFIG.format(spool=hand.spool, filter=FILTER.replace("two.example", "own.example")))
    hand.gate.reload()
    hand.gate.wait_event("reload")
    teach_both(hand, tmp_path, "--domain", "own.example")
    assert totals(hand, "own.example") == (60, 60)
    hand.run("spam", "--domain", "two.example", spam, status=1)
    send(text("spam", 2000, "reloaded ann@own.example"), to="ann@own.example")
    assert Seen(server.mails[-1]).is_marked


def test_bar(start, tmp_path):
    """Somebody who looks on sees how far it is; nobody else does."""
    hand = start()
    path = box(tmp_path / "box", "ham", range(4000))
    status, seen = terminal.answer(hand.command("learn", "ham", path), b"never asked", b"")
    assert status == 0 and re.search(r"\r\[#*\.+\] teaching: \d+ mails, \d+ a second", seen), seen
    assert re.search(r"taught as ham: 4000 new", seen), seen
    assert b"[" not in hand.run("ham", path) and "[" not in hand.said


def test_quarantine_teaches(start, server, tmp_path):
    """Release says ham where a rule about spam kept it; delete --spam says spam; nothing twice."""
    hand = start()
    teach_both(hand, tmp_path)
    place = Hand(hand.gate, "quarantine")
    for i in range(3):
        send(text("spam", 3000 + i, f"kept {i}"), to="kept@own.example")
    send(text("spam", 3100, "odd one"), to="kept@own.example")
    ids = {m["id"]: m["quarantine"] for m in place.list()}
    assert collections.Counter(ids.values()) == {"spam": 3, "odd": 1}, ids
    first, second, third = [one for one, name in ids.items() if name == "spam"]
    odd, = [one for one, name in ids.items() if name == "odd"]
    # learn: as often as one likes, and changed by the other word
    assert b"learned as spam: 1 new, 0 known already, 0 changed\n" == place.run("learn", "spam", first)
    assert b"learned as spam: 0 new, 1 known already, 0 changed\n" == place.run("learn", "spam", first)
    assert totals(hand) == (60, 61)
    said = json.loads(place.run("release", first, "--json"))
    assert said["done"] == 1 and said["learned"]["changed"] == 1, said
    assert totals(hand) == (61, 60)
    # not where a rule about something else kept it, nor where somebody does not want it
    assert b"learned" not in place.run("release", odd)
    assert b"learned" not in place.run("release", second, "--no-learn")
    assert totals(hand) == (61, 60)
    # the same mail, as its recipient has it: the same to the model
    mail = proc.wait_until(lambda: [m for m in server.mails if b"Subject: kept" in m.data], "released")[0]
    assert b"Received: " in mail.message
    (tmp_path / "as-delivered").write_bytes(mail.message)
    assert learned(hand, "ham", tmp_path / "as-delivered")["known"] == 1
    assert b"learned as spam: 1 new" in place.run("delete", third, "--spam")
    assert totals(hand) == (61, 61) and place.list() == []
    events = hand.gate.events("hand", action="learn")
    assert events[-1]["spam"] == "1" and events[-1]["uid"] == "0", events[-1]


def test_full_disk(start, server, tmp_path):
    """What is learned and not on disk is said, judges all the same, and is written when it can be."""
    small = proc.LAB / "small-spool"
    small.mkdir(exist_ok=True)
    proc.run("mount", "-t", "tmpfs", "-o", "size=256m,mode=0777", "tmpfs", small)
    try:
        hand = start(spool=small / "spool")
        learned(hand, "ham", box(tmp_path / "ham", "ham", range(50)))
        filler = small / "filler"
        with open(filler, "wb") as f:
            try:
                while True:
                    f.write(b"x" * 65536)
                    f.flush()
            except OSError:
                pass
        said = learned(hand, "spam", box(tmp_path / "spam", "spam", range(50)), status=1)
        assert not said["stored"] and said["new"] == 50, said
        assert "No space left" in hand.said
        assert hand.gate.wait_event("spam-model")["what"] == "not written"
        assert file_totals(hand) == (50, 0)
        filler.unlink()
        hand.gate.wait_event("spam-model", what="written again")
        proc.wait_until(lambda: file_totals(hand) == (50, 50), "the file", 10)
        hand.gate.stop()
    finally:
        proc.run("umount", "-l", small)


def file_totals(hand):
    """(ham, spam) of the file, where it says nothing that contradicts itself."""
    data = (hand.spool / "spam" / "site.model").read_bytes()
    magic, _, _, bits, ham, spam, n = HEAD.unpack_from(data)
    assert magic == b"POSTSPAM" and bits == 18
    end = HEAD.size + TABLES + n * ENTRY.size  # behind them are mails to go over again, and the check
    assert len(data) >= end + 4
    labels = collections.Counter(e[3] for e in ENTRY.iter_unpack(data[HEAD.size + TABLES:end]))
    assert (labels[1], labels[2]) == (ham, spam), labels
    return ham, spam


# ---- whoever is killed

TARGETS = ("keeper", "tool", "posternd")


@pytest.mark.slow
def test_killed_while_teaching(start, tmp_path):
    """The file always loads; it holds all that a commit has answered, and no mail that was not sent."""
    kills = int(os.environ.get("POSTERN_KILLS", 12))
    rng = random.Random(int(os.environ.get("POSTERN_SEED", 0)) or None)
    hand = start()
    counts = collections.Counter()
    sent = stored = 0
    took = 1.0
    for number in range(kills):
        target = TARGETS[number % len(TARGETS)]
        each = rng.randrange(50, 1500)
        path = box(tmp_path / "box", "spam", range(sent, sent + each))
        sent += each
        began = time.monotonic()
        tool = subprocess.Popen(hand.command("learn", "spam", "--json", path), stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL,
                                env={**os.environ, **postern.sanitizer_environment()})
        try:
            tool.wait(rng.uniform(0, took * 1.1))
        except subprocess.TimeoutExpired:
            counts["under way"] += 1
        if target == "tool":
            tool.kill()
        elif target == "posternd":
            hand.gate.kill(hand.gate.process.pid)
        else:
            keeper, = [p for p, name in hand.gate.processes().items() if name.startswith("keeper")]
            hand.gate.kill(keeper)
        output, _ = tool.communicate(timeout=60)
        if tool.returncode == 0 and json.loads(output)["stored"]:
            stored = sent
            took = 0.8 * took + 0.2 * (time.monotonic() - began)
            counts["had its answer"] += 1
        if target != "tool":
            if (hand.spool / "spam" / "site.model").exists():
                assert stored <= file_totals(hand)[1] <= sent, (target, stored, sent)
            again(hand)
        ham, spam = totals(hand)
        assert ham == 0 and stored <= spam <= sent, (target, stored, spam, sent)
        # the same again: what is known is passed over
        said = learned(hand, "spam", path)
        assert said["now"]["spam"] == sent and said["stored"], said
        assert file_totals(hand) == (0, sent)
        stored = sent
        assert not hand.gate.events("spam-model"), hand.gate.events("spam-model")
        if number % 10 == 9:  # a small model is a fast one
            hand.gate.stop()
            (hand.spool / "spam" / "site.model").unlink()
            sent = stored = 0
            hand.gate.log_path.unlink()
            hand.gate.start()
    assert counts["under way"] >= kills // 4, counts
    print(dict(counts))


def again(hand):
    """A new parent: it knows of no process that ended early, and waits for none."""
    gate = hand.gate
    if gate.process.poll() is None:
        children = postern.descendants(gate.process.pid)
        gate.process.send_signal(signal.SIGKILL)
    else:
        children = {}
    gate.process.wait()
    proc.wait_until(lambda: not any(postern.alive(pid) for pid in children), "the last of it", 20)
    proc.wait_until(lambda: not listens(), "its sockets", 20)
    gate.log_path.unlink()
    gate.start()


def listens():
    return b"192.0.2.184:25 " in subprocess.run(["ss", "-Hltn"], capture_output=True, check=True).stdout

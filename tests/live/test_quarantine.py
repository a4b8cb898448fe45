"""The place where a person looks at what was held: `postern quarantine` on a running gateway.

What is kept and why, told without what a pattern matched; released once to a real Postfix, whatever is
killed meanwhile; a copy to somebody of ours; scanned again when there are new signatures, and nothing
shown or let go that they find something in; room, 10,000 mails, and a person who is asked for the count.
"""
import json
import os
import random
import re
import signal
import subprocess
import time

import pytest

from lab import postern, proc, smtp
from lab.hand import Hand
from lab.postfix import Postfix

GATE, SERVER, LATE = "192.0.2.181", "198.51.100.181", "198.51.100.182"
CLIENT = "192.0.2.118"
CARD = "4111 1111 1111 1111"
VIRUS, OTHER = "postern-laboratory-virus", "postern-laboratory-other"
RULES = 14  # the line of the first one below
CONFIG = """\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{spool}"
listen inbound on "192.0.2.181:25"
domain "ours.example" deliver to "198.51.100.181:25"
domain "late.example" deliver to "198.51.100.182:25"
pattern cards /\\b(?:\\d[ -]?){{13,16}}\\b/ luhn
filter virus {{ database "signatures" }}
queue {{
    retry after 1s, up to 2s
    lifetime 1h{queue}
}}
inbound {{
    quarantine "virus" if virus
    quarantine "compliance" if body contains cards
    quarantine "odd" if subject contains "odd"
    accept
}}
"""
PLAIN = CONFIG.replace('    quarantine "virus" if virus\n', "").replace(
    'filter virus {{ database "signatures" }}\n', "")


def signatures(*words):
    return "".join(f"Lab.Test{i}:0:*:{word.encode().hex()}\n" for i, word in enumerate(words))


@pytest.fixture(scope="module")
def server():
    one = Postfix("quarantine", SERVER, domains=["ours.example"])
    one.start()
    yield one
    one.stop()


@pytest.fixture
def start(gateway, tmp_path):
    """start(config, *words): a gateway with signatures of these words; its tools."""
    def begin(config=CONFIG, *words, queue=""):
        spool = proc.LAB / f"spool-{tmp_path.name}"
        gate = gateway(config.format(spool=spool, queue=queue),
                       {"signatures/main.ndb": signatures(VIRUS, *words)})
        return Hand(gate, "quarantine")
    return begin


def send(subject="x", body=f"card {CARD}\r\n", to="ann@ours.example", sender="joe@else.example", code=250):
    with smtp.Client(GATE, source=CLIENT) as client:
        said = client.mail(sender, [to], smtp.message(subject, sender, to, body))
        assert said.dot.code == code, said
        return said.dot


def arrived(server, subject):
    return [m for m in server.mails() if m["Subject"] == subject]


def test_held_told_shown_released(start, server):
    keeper = start()
    send("held")
    send("odd one", body="nothing\r\n", sender="ann@third.example", to="bob@ours.example")
    one, = keeper.list("--name", "compliance")
    assert one["quarantine"] == "compliance" and one["rule"].endswith(f"postern.conf:{RULES + 1}")
    assert one["client"] == CLIENT and "virus" not in one
    both = keeper.ids()
    assert len(both) == 2
    # Each filter, against what is there.
    odd, = both - {one["id"]}
    for words, wanted in ((("--from", "joe@else.example"), {one["id"]}), (("--from", "@third.example"), {odd}),
                          (("--to", "BOB@ours.example"), {odd}), (("--client", CLIENT), both),
                          (("--client", "192.0.2.1"), set()), (("--virus",), set()),
                          (("--rule", f"postern.conf:{RULES + 2}"), {odd}),
                          (("--rule", str(RULES + 1)), {one["id"]}), (("--rule", one["rule"]), {one["id"]}),
                          (("--rule", f"conf:{RULES + 1}"), set()), (("--since", "1h"), both),
                          (("--older", "1h"), set()), (("--name", "virus"), set())):
        assert keeper.ids(*words) == wanted, words
    assert len(keeper.list("--limit", "1")) == 1
    assert "quarantine \"compliance\" by " in keeper.run().decode()
    # Facts: what was known, and of a pattern its name and how often, never what it matched.
    shown = keeper.show(one["id"])
    assert any(re.fullmatch(r'body "cards"=yes \(1 match(es)?\)', fact) for fact in shown["facts"]), shown
    assert 'virus=no' in shown["facts"] and re.fullmatch(r"[0-9a-f]{16}", shown["signatures"])
    assert "4111" not in json.dumps(shown)
    assert "Subject: held\r\n" in shown["header"]
    people = keeper.run("show", one["id"]).decode()
    assert "Subject: held\n" in people and 'body "cards"=yes' in people and "4111" not in people
    raw = keeper.run("show", one["id"], "--raw")
    assert CARD.encode() in raw and raw.endswith(b"\r\n")
    assert keeper.gate.events("quarantine", what="shown", by="root")
    # Out of it, once, with who and when.
    assert "release: 1 mail done" in keeper.run("release", one["id"], "--by", "anna").decode()
    mail, = server.wait_mails(1, where=lambda m: m["Subject"] == "held")
    assert mail.sender == "joe@else.example" and mail.data.endswith(
        raw.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n"))
    event, = keeper.gate.events("quarantine", what="released")
    assert event["by"] == "root, for anna" and event["id"] == one["id"] and event["scan"] == "scanned"
    assert keeper.ids() == {odd}
    keeper.run("release", one["id"], status=1)
    assert "is not there" in keeper.said
    assert keeper.run("delete", odd, "--json") and keeper.ids() == set()
    time.sleep(2)
    assert len(arrived(server, "held")) == 1 and not arrived(server, "odd one")


def test_without_a_virus_filter(start, server):
    keeper = start(PLAIN)
    send("no filter")
    one, = keeper.ids()
    assert CARD.encode() in keeper.run("show", one, "--raw")
    keeper.run("release", one)
    server.wait_mails(1, where=lambda m: m["Subject"] == "no filter")
    event, = keeper.gate.events("quarantine", what="released")
    assert event["scan"] == "not scanned: no virus filter"


def test_a_copy(start, server):
    keeper = start()
    send("copied")
    one, = keeper.ids()
    keeper.run("forward", one, "to", "boss@ours.example", "--by", "anna")
    copy, = server.wait_mails(1, where=lambda m: m["Subject"] == "copied")
    assert copy.recipient == "boss@ours.example" and copy.sender == ""
    assert copy["Resent-To"] == "<boss@ours.example>" and CARD.encode() in copy.data
    assert keeper.ids() == {one}
    assert "forwarded to boss@ours.example by root, for anna; scanned" in keeper.show(one)["history"][0]
    for elsewhere in ("boss@else.example", "boss", "boss@sub.ours.example"):
        keeper.run("forward", one, "to", elsewhere, status=1)
    assert "is not a declared domain" in keeper.said
    keeper.run("release", one)
    server.wait_mails(2, where=lambda m: m["Subject"] == "copied")


def test_new_signatures(start, server):
    """Clean when it came, kept for another reason; what is known now finds something in it."""
    keeper = start()
    gate = keeper.gate
    send("later known", body=f"{CARD} {OTHER}\r\n")
    send("still clean")
    send("a virus", body=f"{VIRUS}\r\n")
    known, clean = (next(i["id"] for i in keeper.list() if keeper.show(i["id"])["header"].find(s) > 0)
                    for s in ("later known", "still clean"))
    infected, = keeper.ids("--virus")
    assert keeper.list("--virus")[0]["quarantine"] == "virus"
    assert OTHER.encode() in keeper.run("show", known, "--raw")
    before = keeper.show(known)["signatures"]
    gate.add_file("signatures/main.ndb", signatures(VIRUS, OTHER))
    gate.reload()
    gate.wait_event("reload", generation="2")
    why = "Lab.Test1.UNOFFICIAL was found in it"
    for words in (("show", known, "--raw"), ("show", known, "--text"), ("release", known),
                  ("forward", known, "to", "boss@ours.example"),
                  ("release", known, "--unscannable")):
        said = keeper.run(*words, status=1).decode() + keeper.said
        assert why in said and OTHER not in said, words
    # No way round it.
    said = keeper.run("release", known, "--yes", tool="queue", status=1).decode()
    assert "1 refused" in said and why in said
    assert not keeper.run("body", known, tool="queue", status=1) and why in keeper.said
    item, = keeper.list("--name", "compliance", "--virus")
    assert item["id"] == known and item["virus"] == "Lab.Test1.UNOFFICIAL"
    told = keeper.show(known)
    assert told["signatures"] != before and "was found" in told["history"][0]
    assert gate.events("quarantine", what="a new scan found something", virus="Lab.Test1.UNOFFICIAL")
    # What is infected from the first is no other; what is clean goes.
    keeper.run("release", infected, status=1)
    assert "1 refused" in keeper.run("release", "--name", "virus", status=1).decode()
    keeper.run("release", clean)
    server.wait_mails(1, where=lambda m: m["Subject"] == "still clean")
    keeper.run("delete", known, infected)
    assert keeper.ids() == set()
    time.sleep(1)
    assert not arrived(server, "later known") and not arrived(server, "a virus")


def test_no_scanner(start, server):
    keeper = start()
    gate = keeper.gate
    send("no scanner")
    one, = keeper.ids()
    refused = 0
    for _ in range(12):
        for pid, name in gate.processes().items():
            if "scanner" in name:
                try:
                    gate.kill(pid)
                except ProcessLookupError:
                    pass
        done = subprocess.run(keeper.command("quarantine", "show", one, "--raw"), capture_output=True,
                              check=False, timeout=60)
        if done.returncode == 1:
            assert b"it cannot be scanned now" in done.stderr and not done.stdout
            refused += 1
            break
    assert refused and keeper.ids() == {one}
    proc.wait_until(lambda: subprocess.run(
        keeper.command("quarantine", "release", one), capture_output=True, check=False,
        timeout=60).returncode == 0, "a scanner again", 60, 0.5)
    server.wait_mails(1, where=lambda m: m["Subject"] == "no scanner")


def test_many_by_a_filter(start, server):
    keeper = start()
    for i in range(12):
        send(f"bulk {i}", sender="bulk@else.example")
    send("not meant", sender="joe@else.example")
    by = ("--from", "bulk@else.example")
    keeper.run("release", *by, status=2)
    assert "12 mails: say --count 12 to release them without being asked" in keeper.said
    keeper.run("release", *by, "--count", "11", status=1)
    assert "the filter means 12 mails, not 11: nothing was done" in keeper.said
    for answer in (b"y\n", b"\n", b"11\n"):
        status, shown = keeper.on_terminal(b"to go on: ", answer, "release", *by)
        assert status == 1 and "This releases 12 mails. Type 12 to go on: " in shown
        assert "nothing was done" in shown
    assert len(keeper.ids()) == 13
    status, shown = keeper.on_terminal(b"to go on: ", b"5\n", "delete", *by, "--limit", "5")
    assert status == 0 and "This deletes 5 mails. Type 5 to go on: " in shown and "delete: 5 mails done" in shown
    said = json.loads(keeper.run("release", *by, "--count", "7", "--json"))
    assert said == {"action": "release", "done": 7, "missing": 0, "refused": 0, "failed": 0}
    server.wait_mails(7, where=lambda m: m["Subject"].startswith("bulk "))
    keeper.run("delete", "--all")  # one is not many
    assert keeper.ids() == set()


def test_room(start, server):
    """1 MiB: what does not fit is the client's still; nothing is removed for it."""
    keeper = start(queue="\n    quarantine size 1M")
    gate = keeper.gate
    large = f"{CARD}\r\n" + ("x" * 70 + "\r\n") * 4000
    for i in range(3):
        send(f"large {i}", body=large)
    assert len(gate.events("quarantine-room")) == 1 and not gate.events("quarantine-full")
    for _ in range(3):
        reply = send("too much", body=large, code=452)
        assert "4.3.1" in reply.text if hasattr(reply, "text") else True
    assert len(gate.events("quarantine-full")) == 1
    send("passes", body="nothing\r\n")
    server.wait_mails(1, where=lambda m: m["Subject"] == "passes")
    assert len(keeper.ids()) == 3
    done = subprocess.run(keeper.command("doctor", "--json"), capture_output=True, check=False, timeout=120)
    rows = json.loads(done.stdout)
    rows = rows["checks"] if isinstance(rows, dict) else rows
    assert [r for r in rows if r["check"] == "quarantine" and r["state"] == "warn"], rows
    keeper.run("delete", sorted(keeper.ids())[0])
    send("fits again", body=large)
    assert len(keeper.ids()) == 3


def test_ten_thousand(start, tmp_path):
    keeper = start()
    gate = keeper.gate
    fill = proc.build_dir() / "bin/queue_fill"
    if not fill.exists():
        pytest.skip("queue_fill is not built")
    spool = proc.LAB / f"spool-{tmp_path.name}"
    gate.stop()
    proc.run(fill, spool, 10000, 2000, "late.example", "stored", timeout=120)
    owner = spool.stat()
    for path in spool.iterdir():
        os.chown(path, owner.st_uid, owner.st_gid)
    gate.log_path.unlink()
    gate.start()
    began = time.monotonic()
    items = keeper.list()
    took = time.monotonic() - began
    assert len(items) == 10000 == len({i["id"] for i in items})
    assert took < 30, took
    began = time.monotonic()
    assert len(keeper.list("--from", "user7@ours.example")) == 10
    assert time.monotonic() - began < 30
    # A bar while it lasts, on a terminal alone.
    status, shown = keeper.on_terminal(b"to go on: ", b"10000\n", "delete", "--name", "stored")
    assert status == 0 and "delete: 10000 mails done" in shown, shown[-500:]
    assert re.search(r"\r\[#*\.*\] \d+ of 10000", shown)
    assert keeper.ids() == set()


def test_once_through_kills(start, tmp_path):
    """Released while keeper and delivery die; the next hop is away, then comes: each arrives once."""
    keeper = start()
    gate = keeper.gate
    mails, rounds = 40, int(os.environ.get("POSTERN_KILLS", "12"))
    seed = int(os.environ.get("POSTERN_SEED", "0")) or random.randrange(10**6)
    print(f"POSTERN_SEED={seed}")
    chance = random.Random(seed)
    for i in range(mails):
        send(f"kill {i}", to="ann@late.example")
    waiting = keeper.ids()
    assert len(waiting) == mails
    forwarded = {}
    for number in range(rounds):
        victim = chance.choice(("keeper", "keeper", "delivery"))
        some = chance.sample(sorted(waiting), min(len(waiting), chance.randint(1, 4)))
        verb = "forward" if number % 5 == 4 else "release"
        words = (*some, "to", "boss@late.example") if verb == "forward" else some
        tool = subprocess.Popen(keeper.command("quarantine", verb, *words), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0, 0.25))
        for pid, name in gate.processes().items():
            if victim in name:
                gate.kill(pid, signal.SIGKILL)
        tool.wait(60)
        proc.wait_until(lambda: is_up(keeper), "the keeper again", 30, 0.1)
        waiting = keeper.ids()
    for one in waiting:
        forwarded[one] = sum("forwarded to" in line for line in keeper.show(one)["history"])
    copies = [i for i in queued(keeper) if i["first_recipients"] == ["boss@late.example"]]
    released = [i for i in queued(keeper) if i["first_recipients"] == ["ann@late.example"]]
    assert len(released) + len(waiting) == mails, seed
    # Of those that are released by now the history has gone with them.
    assert sum(forwarded.values()) <= len(copies), seed
    assert released and len(released) < mails + 1
    if waiting:
        keeper.run("release", "--all", "--count", str(len(waiting)))
    late = Postfix("late", LATE, domains=["late.example"])
    late.start()
    try:
        there = late.wait_mails(mails + len(copies), timeout=60)
        proc.wait_until(lambda: not queued(keeper), "an empty queue", 60, 0.2)
        there = [m for m in late.mails() if m.recipient == "ann@late.example"]
        assert sorted(m["Subject"] for m in there) == sorted(f"kill {i}" for i in range(mails)), seed
        assert len(late.mails()) == mails + len(copies), seed
    finally:
        late.stop()


def is_up(keeper):
    return subprocess.run(keeper.command("quarantine", "list", "--limit", "1"), capture_output=True,
                          check=False, timeout=60).returncode == 0


def queued(keeper):
    return [json.loads(line) for line in
            keeper.run("list", "--json", "--kind", "send", tool="queue").splitlines()]

"""`postern queue` on a running gateway: what it lists, why a mail waits, and what it changes.

One destination refuses every connection, one answers 451 to every recipient, one takes all. Everything
is asked with the real tool over the keeper's socket.
"""
import json
import pathlib
import re
import subprocess

import pytest

from lab import postern, proc, smtp
from lab.hand import Hand

SUBMIT, BUSY, GOOD, DEAD = "192.0.2.44", "198.51.100.44", "198.51.100.45", "198.51.100.97"
CLIENT = "192.0.2.74"
ZONES = {
    "ours.example": "@ MX 10 mx\nmx A 192.0.2.44\n",
    "queue.example": f"""\
        dead MX 10 mxdead
        mxdead A {DEAD}
        busy MX 10 mxbusy
        mxbusy A {BUSY}
        good MX 10 mxgood
        mxgood A {GOOD}
        """,
}
CONFIG = """\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{spool}"
listen outbound on "192.0.2.44:25" from {{ 192.0.2.64/26 }}
send queued
queue {{ retry after 1h }}
outbound {{
    quarantine "spam" if recipient is "trap@good.queue.example"
    accept
}}
"""


@pytest.fixture
def good():
    with smtp.Server(GOOD) as server:
        yield server


@pytest.fixture
def busy():
    with smtp.Server(BUSY, script={"rcpt": "451 4.3.2 come later"}) as server:
        yield server


@pytest.fixture
def hand(gateway, nsd, busy, good, tmp_path):
    nsd.set(ZONES)
    nsd.restart()
    spool = proc.LAB / f"spool-{tmp_path.name}"
    return Hand(gateway(CONFIG.format(spool=spool)), "queue")


def send(sender, *recipients, subject="x"):
    with smtp.Client(SUBMIT, source=CLIENT) as client:
        said = client.mail(sender, list(recipients),
                           smtp.message(subject, sender, recipients[0]))
        assert said.dot.code == 250, said


def tried(hand):
    """The sites that were tried and did not take their mail."""
    return {s["site"] for i in hand.list() for s in i["destinations"] if "reason" in s}


def test_list_and_summary(hand):
    for i in range(3):
        send(f"user{i}@ours.example", f"to{i}@dead.queue.example")
    send("user0@ours.example", "b@busy.queue.example", "c@busy.queue.example")
    send("user0@ours.example", "trap@good.queue.example")
    proc.wait_until(lambda: tried(hand) >= {"dead.queue.example", "busy.queue.example"},
                    "the first attempts")
    items = hand.list()
    assert len(items) == 5
    busy = [i for i in items if i["destinations"][0]["site"] == "busy.queue.example"]
    assert len(busy) == 1 and busy[0]["recipients"]["waiting"] == 2
    assert busy[0]["words"] == "451 4.3.2 come later" and busy[0]["attempts"] == 1
    assert busy[0]["first_recipients"] == ["b@busy.queue.example", "c@busy.queue.example"]
    kept = [i for i in items if i["kind"] == "quarantine"]
    assert len(kept) == 1 and kept[0]["quarantine"] == "spam"
    # Filters, each against what is known to be there.
    assert hand.ids("--sender", "USER0@ours.example") == {
        i["id"] for i in items if i["sender"] == "user0@ours.example"}
    assert len(hand.ids("--sender", "@ours.example")) == 5
    assert hand.ids("--recipient", "c@busy.queue.example") == {busy[0]["id"]}
    assert len(hand.ids("--destination", "dead.queue.example")) == 3
    assert hand.ids("--kind", "quarantine") == hand.ids("--quarantine", "spam") == {kept[0]["id"]}
    assert hand.ids("--reason", busy[0]["reason"]) >= {busy[0]["id"]}
    assert hand.ids("--older", "1h") == hand.ids("--held") == set()
    assert hand.ids(busy[0]["id"]) == {busy[0]["id"]}
    # For people.
    lines = hand.run("list").decode().splitlines()
    assert len(lines) == 10
    assert any("451 4.3.2 come later" in line for line in lines)
    table = hand.run().decode().splitlines()
    rows = {line.split()[-1]: line.split() for line in table[1:-1]}
    assert rows["dead.queue.example"][:2] == ["3", "3"]
    assert rows["busy.queue.example"][:2] == ["1", "2"]
    assert table[-1].startswith("5 mails, ") and table[-1].endswith("the way out is open")
    summary = json.loads(hand.run("--json"))
    assert summary["mails"] == 5 and summary["egress"] == "open"


def test_one_mail(hand):
    original = smtp.message("whole", "ann@ours.example", "b@busy.queue.example",
                            body="line\r\n.dot\r\n" + ("x" * 98 + "\r\n") * 2000)
    with smtp.Client(SUBMIT, source=CLIENT) as client:
        assert client.mail("ann@ours.example", ["b@busy.queue.example"], original).dot.code == 250
    item = proc.wait_until(lambda: [i for i in hand.list() if i["attempts"]], "an attempt")[0]
    stored = hand.run("body", item["id"])
    assert stored.endswith(original) and len(stored) == item["bytes"]
    shown = json.loads(hand.run("show", item["id"], "--json"))
    assert shown["sender"] == "ann@ours.example" and shown["client"] == CLIENT
    assert [r["address"] for r in shown["recipients"]] == ["b@busy.queue.example"]
    assert shown["recipients"][0]["words"] == "451 4.3.2 come later"
    assert shown["recipients"][0]["phase"] == "rcpt"
    text = hand.run("show", item["id"]).decode()
    assert "<b@busy.queue.example>: waiting" in text and "451 4.3.2 come later" in text
    why = hand.run("why", item["id"]).decode()
    assert "outbound from <ann@ours.example>" in why
    assert re.search(r"last: attempt 1, \d+ s ago \(.*\), at rcpt: mxbusy\.queue\.example said "
                     r'"451 4\.3\.2 come later"', why), why
    assert re.search(r"next: an attempt in .* by the MX of busy\.queue\.example", why), why
    assert "then its sender is told" in why
    for verb in "show", "why", "body":
        hand.run(verb, "0" * 32, status=1)
        assert "no such mail" in hand.said


def test_actions(hand, good, busy):
    for i in range(4):
        send(f"user{i}@ours.example", f"to{i}@busy.queue.example")
    send("user0@ours.example", "trap@good.queue.example", subject="trapped")
    proc.wait_until(lambda: len([i for i in hand.list() if i["attempts"]]) >= 1, "an attempt")
    # Without a filter, without --yes, with another count: nothing happens.
    hand.run("drop", status=2)
    hand.run("drop", "--sender", "user1@ours.example", status=2)
    assert "1 mails: say --yes" in hand.said
    hand.run("drop", "--destination", "busy.queue.example", "--count", "3", "--yes", status=1)
    assert "means 4 mails, not 3" in hand.said
    hand.run("drop", "--sender", "nobody@ours.example", "--yes", status=1)
    assert len(hand.list()) == 5
    assert hand.run("drop", "--sender", "user1@ours.example", "--yes", "--count", "1") == \
        b"drop: 1 mail done\n"
    assert len(hand.list()) == 4
    hand.run("hold", "--sender", "user2@ours.example", "--yes")
    held = hand.list("--held")
    assert [i["sender"] for i in held] == ["user2@ours.example"]
    assert "held by hand" in hand.run("why", held[0]["id"]).decode()
    # Retried, all but the held one go out again at once.
    before = len(busy.transactions())
    hand.run("retry", "--destination", "busy.queue.example", "--yes")
    proc.wait_until(lambda: len(busy.transactions()) > before, "another attempt")
    hand.run("release", "--held", "--yes")
    assert hand.list("--held") == []
    # Out of the quarantine it goes on its way.
    hand.run("release", "--quarantine", "spam", "--yes")
    proc.wait_until(lambda: good.mails, "the released mail")
    assert b"Subject: trapped" in good.mails[0].message
    # Given up: its sender is told by a notice, which waits or leaves as any mail.
    hand.run("expire", "--sender", "user3@ours.example", "--yes")
    proc.wait_until(lambda: not hand.ids("--sender", "user3@ours.example"), "the end of it")
    assert hand.gate.events("dsn")
    done = hand.gate.events("hand")
    assert [(e["action"], e["mails"], e["done"], e["failed"]) for e in done] == [
        ("drop", "1", "1", "0"), ("hold", "1", "1", "0"),
        ("retry", "3", "2", "0"),  # one of them is held
        ("release", "1", "1", "0"), ("release", "1", "1", "0"), ("expire", "1", "1", "0")]
    assert all(e["uid"] == "0" for e in done)


def test_asks_a_person(hand):
    send("ann@ours.example", "a@busy.queue.example")
    send("ann@ours.example", "b@busy.queue.example")
    status, shown = hand.on_terminal(b"[y/N]", b"n\n", "drop", "--sender", "ann@ours.example")
    assert status == 1 and "2 mails: really drop them? [y/N]" in shown
    assert len(hand.list()) == 2
    status, shown = hand.on_terminal(b"[y/N]", b"\n", "drop", "--sender", "ann@ours.example")
    assert status == 1 and "[y/N]" in shown and len(hand.list()) == 2
    status, shown = hand.on_terminal(b"[y/N]", b"y\n", "drop", "--sender", "ann@ours.example")
    assert status == 0 and "drop: 2 mails done" in shown
    assert hand.list() == []


def test_rights_and_absence(hand):
    """Another account than root and the gateway's is told so; without posternd it is said that it does not run."""
    pathlib.Path(hand.gate.config).chmod(0o644)
    done = subprocess.run([postern.binary("postern"), "-f", hand.gate.config, "queue"],
                          capture_output=True, check=False, user=1, group=1,
                          extra_groups=[], env=postern.sanitizer_environment())
    assert done.returncode == 1, done.stdout + done.stderr
    assert b"only root and the gateway's own user" in done.stderr
    hand.gate.stop()
    hand.run(status=1)
    assert "posternd does not run" in hand.said

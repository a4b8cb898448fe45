"""Proof: inbound without custody works with real senders.

Postfix and Exim hand mails with two recipients to the gateway, which keeps nothing: the first
recipient is always good, the second one is answered 250, 4xx (the first time) or 5xx by the
protected server, at RCPT or at the dot; both on one server, or each on its own. Counted: copies
delivered (never two), bounces that the sender wrote, and the time until all was settled.
"""
import itertools
import os
import time

import pytest

from lab import proc, smtp
from lab.exim import Exim
from lab.postfix import Postfix

GATE = "192.0.2.28"
SERVERS = {"one.example": "198.51.100.21", "two.example": "198.51.100.22"}
LIMIT_S = 75.0
SENDERS, STAGES = ("postfix", "exim"), ("rcpt", "dot")
ANSWERS, WIDTHS = ("250", "4xx", "5xx"), (1, 2)
CASES = list(itertools.product(SENDERS, STAGES, ANSWERS, WIDTHS))
CONFIG = f"""\
hostname "mx.example.com"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "{GATE}:25"
domain "one.example" deliver to "{SERVERS['one.example']}:25"
domain "two.example" deliver to "{SERVERS['two.example']}:25"
inbound {{
    accept
}}
"""


def name_of(case):
    sender, stage, answer, width = case
    return f"{sender}-{stage}-{answer}-{width}"


def recipients_of(case):
    name, width = name_of(case), case[3]
    return f"{name}.a@one.example", f"{name}.b@{'one' if width == 1 else 'two'}.example"


def expected(case):
    """(copies for a, copies for b, addresses bounced) when all is settled."""
    _, stage, answer, width = case
    a, b = recipients_of(case)
    if answer != "5xx":
        return 1, 1, set()
    # At the dot one answer serves all recipients of the transaction, if they share one.
    if stage == "dot" and width == 1:
        return 0, 0, {a, b}
    return 1, 0, {b}


class Servers:
    """The protected servers: what they answer stands in the recipient's address."""

    def __init__(self):
        self.seen = set()
        self.servers = [smtp.Server(address, script={"rcpt": self.rcpt, "dot": self.dot})
                        for address in SERVERS.values()]

    def start(self):
        for server in self.servers:
            server.start()
        return self

    def stop(self):
        for server in self.servers:
            server.stop()

    def answer(self, recipient, stage, good, key):
        local = recipient.partition("@")[0]
        if not local.endswith(".b"):
            return good
        _, at, answer, _ = local[:-2].split("-")
        if at != stage or answer == "250":
            return good
        if answer == "5xx":
            return "550 5.1.1 no such user" if stage == "rcpt" else "554 5.6.0 not wanted"
        if key in self.seen:
            return good
        self.seen.add(key)
        return "450 4.2.1 busy" if stage == "rcpt" else "451 4.3.0 not now"

    def rcpt(self, recipient, _session):
        return self.answer(recipient, "rcpt", "250 2.1.5 ok", recipient)

    def dot(self, transaction, _session):
        for recipient in transaction.recipients:
            said = self.answer(recipient, "dot", "250 2.0.0 taken", recipient)
            if not said.startswith("250"):
                return said
        return "250 2.0.0 taken"

    def copies(self, recipient):
        """When a mail for this recipient was taken: one time for each copy."""
        return [mail.time for server in self.servers for mail in list(server.mails)
                for r in mail.recipients if r.lower() == recipient]


class Run:
    """All cases at once, by both senders; then nothing changes any more."""

    def __init__(self, servers, senders):
        self.servers, self.senders = servers, senders
        self.sent, self.settled = {}, {}

    def bounced(self, case):
        """Addresses of a case that the sender told its user about."""
        found = set()
        for mail in self.senders[case[0]].mails():
            text = mail.data.decode("utf-8", "replace")
            found |= {r for r in recipients_of(case) if r in text}
        return found

    def is_settled(self, case):
        a, b = recipients_of(case)
        copies_a, copies_b, bounced = expected(case)
        return (len(self.servers.copies(a)) >= copies_a and len(self.servers.copies(b)) >= copies_b
                and self.bounced(case) >= bounced)

    def play(self):
        for case in CASES:
            self.senders[case[0]].send("user@sender.example", recipients_of(case),
                                       smtp.message(name_of(case), "user@sender.example"))
            self.sent[case] = time.monotonic()
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end and len(self.settled) < len(CASES):
            for case in CASES:
                if case not in self.settled and self.is_settled(case):
                    self.settled[case] = time.monotonic() - self.sent[case]
            time.sleep(0.1)
        # Time for a second copy to show itself: some more queue runs of both senders.
        time.sleep(5)
        return self

    def table(self):
        for case in CASES:
            a, b = recipients_of(case)
            delay = f"{self.settled[case]:.1f} s" if case in self.settled else "never"
            yield name_of(case), (f"{len(self.servers.copies(a))} + {len(self.servers.copies(b))} "
                                  f"copies, {len(self.bounced(case))} bounced, settled in {delay}")


@pytest.fixture(scope="module")
def played(gateway_module, nsd):
    servers = Servers().start()
    senders = {
        "postfix": Postfix("outpostfix", "192.0.2.71", domains=["sender.example"],
                           relayhost=f"[{GATE}]:25"),
        "exim": Exim("outexim", "192.0.2.72", domains=["sender.example"], relayhost=GATE),
    }
    gateway_module(CONFIG)
    try:
        for sender in senders.values():
            sender.start()
        yield Run(servers, senders).play()
    finally:
        for sender in senders.values():
            sender.stop()
        servers.stop()


@pytest.mark.slow
def test_figures(played):
    """The table goes to the figures of this run."""
    rows = list(played.table())
    assert len(rows) == len(SENDERS) * len(STAGES) * len(ANSWERS) * len(WIDTHS)
    for name, text in rows:
        print(name, text)
    if "POSTERN_FIGURES" in os.environ:
        with open(os.environ["POSTERN_FIGURES"], "a", encoding="utf-8") as f:
            for name, text in rows:
                f.write(f"senders {name}\t{text}\tsender, stage, answer for the second recipient, "
                        "servers\n")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_settles_without_duplicates(played, case):
    a, b = recipients_of(case)
    copies_a, copies_b, bounced = expected(case)
    assert case in played.settled, f"{dict(played.table())[name_of(case)]}\n" \
        + played.senders[case[0]].log()[-3000:]
    assert len(played.servers.copies(a)) == copies_a
    assert len(played.servers.copies(b)) == copies_b
    assert played.bounced(case) == bounced


@pytest.mark.slow
def test_nothing_is_left(played):
    """Both senders have nothing more to do."""
    for sender in played.senders.values():
        proc.wait_until(lambda: not sender.queue(), "an empty queue", 15, 0.5)

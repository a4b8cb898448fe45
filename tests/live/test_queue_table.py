"""What the client hears, what stays in the spool, what each remote gets and who is told by a DSN:
the table of DESIGN.md, "Outbound" (OUT-01 to OUT-04, OUT-09).

Four fates (delivered, refused, put off, silent) for 1 recipient, 2 of one site, 2 of two sites and
100 of 20 sites; every mix of two of them over one site and over two; each phase of a session that
may refuse, put off or break. Each case has sites, servers, a sender and a client of its own, so that
all run at once and none learns from another. A case ends when its servers are mended: then the rest
must arrive, exactly once, and the spool must be empty.

A recipient's local part says what its server does: "ok", "no" (550 at RCPT), "later" (451 at RCPT
until mended), "mute" (no reply to RCPT until mended), "hush" (none to the dot until mended).
"""
import concurrent.futures
import email
import itertools
import re
import threading
import time

import pytest

from lab import dns, proc, smtp
from lab.spool import Spool

pytestmark = pytest.mark.slow
GATE, SUBMIT, OWN = "192.0.2.148", "192.0.2.149", "198.51.100.9"
RESOLVER = "192.0.2.54"
BUDGET_S, MENDED_S = 8, 60
CONFIG = f"""\
hostname "mx.ours.example"
resolver "{RESOLVER}:53" insecure
spool "{{spool}}"
listen inbound on "{GATE}:25"
listen outbound on "{SUBMIT}:25" from {{{{ 192.0.2.64/26 }}}}
domain "ours.example" deliver to "{OWN}:25"
send direct answer within {BUDGET_S}s per mail
queue {{{{ retry after 1s, up to 2s lifetime 10m }}}}
inbound {{{{ accept }}}}
outbound {{{{ accept }}}}
"""
FATES = {"delivered": "ok", "refused": "no", "put off": "later", "silent": "hush"}


class Case:
    """recipients: [(site's number, local part)]; script: of the servers, in place of the words."""

    def __init__(self, name, recipients, script=None, **more):
        self.name, self.plan, self.script = name, recipients, script or {}
        self.more = more
        self.mended = threading.Event()
        self.servers = {}

    def __repr__(self):
        return self.name


def over(fates, shape):
    """Recipients of a shape, with the fates in turn."""
    sites, n = {"1": (1, 1), "2 of one site": (1, 2), "2 of two sites": (2, 2),
                "100 of 20 sites": (20, 100)}[shape]
    return [(i % sites, fates[i % len(fates)]) for i in range(n)]


def fates():
    for fate, word in FATES.items():
        for shape in ("1", "2 of one site", "2 of two sites", "100 of 20 sites"):
            yield Case(f"{fate}: {shape}", over([word], shape))
    for one, other in itertools.combinations(FATES, 2):
        # Within a transaction a dot is silent to all: there the recipient is what is not answered.
        words = [FATES[one], FATES[other]]
        here = ["mute" if word == "hush" else word for word in words]
        yield Case(f"{one}, {other}: one site", over(here, "2 of one site"))
        yield Case(f"{one}, {other}: two sites", over(words, "2 of two sites"))


CASES = list(fates())


class Phase(Case):
    """One recipient, and one thing that goes wrong until it is mended.

    code, words: what the reply to the dot must have; code 250 means that it waits in the spool,
    for `reason`.
    """

    def __init__(self, name, code, words, reason=None, script=None, **more):
        super().__init__(name, [(0, "ok")], script, **more)
        self.code, self.words, self.reason = code, words, reason


WORDS = "in the remote's own words"
SESSION_ENDS = f"421 4.3.2 Not now, {WORDS}"


def phases():
    for stage in ("mail", "rcpt", "data", "dot"):
        yield Phase(f"550 at {stage}", 550, f"550 5.3.0 .*{WORDS}",
                    script={stage: f"550 5.3.0 No, {WORDS}"})
        yield Phase(f"450 at {stage}", 250, "Queued", "busy",
                    script={stage: f"450 4.3.2 Not now, {WORDS}"})
    for stage in ("connect", "ehlo", "mail", "rcpt", "data", "dot"):
        yield Phase(f"421 at {stage}", 250, "Queued", "busy", script={stage: SESSION_ENDS})
    # Whoever has not heard of the mail has not refused it.
    for stage in ("connect", "ehlo"):
        yield Phase(f"554 at {stage}", 250, "Queued", "busy",
                    script={stage: f"554 5.3.0 No, {WORDS}"})
    for stage in ("connect", "ehlo", "mail", "rcpt", "data"):
        yield Phase(f"lost at {stage}", 250, "Queued", script={stage: smtp.Drop(reset=True)})
        yield Phase(f"silent at {stage}", 250, "Queued", script={stage: None}, silent=stage)
    yield Phase("lost at dot", 250, "Queued", script={"dot": smtp.Drop()}, doubt=True)
    yield Phase("connection refused", 250, "Queued", "route", down=True)
    yield Phase("SERVFAIL", 250, "Queued", "route", dns=dns.Answer(rcode="SERVFAIL"))
    yield Phase("DNS is silent", 250, "Queued", dns=dns.Answer(silent=True), silent="dns")
    yield Phase("NXDOMAIN", 550, "550 5.1.2 ", domain="nothere")
    yield Phase("null MX", 556, "556 5.1.10 ", domain="null")
    yield Phase("our own address listed", 250, "Queued", "listed", script={
        "rcpt": "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using "
                "zen.spamhaus.org"})


PHASES = list(phases())


class Remote(smtp.Server):
    """The server of one site of one case."""

    def __init__(self, case, site, address):
        self.case, self.host = case, f"mx{site}"
        script = {stage: self.until_mended(stage, reply) for stage, reply in case.script.items()}
        super().__init__(address, name=f"{self.host}.remote.example",
                         script={"rcpt": self.rcpt, "dot": self.dot, **script})

    def until_mended(self, stage, reply):
        """For a script: this, or silence, until the case is mended; then the usual."""
        usual = {"rcpt": self.rcpt, "dot": self.dot}.get(stage, lambda _argument, _session: None)

        def say(argument, session):
            if self.case.mended.is_set():
                return usual(argument, session)
            if reply is None:
                self.case.mended.wait(120)
                return usual(argument, session)
            return reply
        return say

    def rcpt(self, recipient, _session):
        word = recipient.partition("-")[0]
        if word == "mute":
            self.case.mended.wait(120)
        if word == "no":
            return f"550 5.1.1 Nobody of that name at {self.host}"
        if word == "later" and not self.case.mended.is_set():
            return f"451 4.3.2 Come again to {self.host}"
        return None

    def dot(self, transaction, _session):
        if any(r.startswith("hush-") for r in transaction.recipients):
            self.case.mended.wait(120)
        return f"250 2.0.0 {self.host} has it"


class Table:
    """The gateway, and everything around it that all cases share."""

    def __init__(self, cases):
        self.cases, self.zone, self.rules = cases, [], {}
        self.addresses = (f"198.51.100.{n}" for n in range(10, 255))
        for number, case in enumerate(cases):
            self.prepare(case, number)
        self.own = smtp.Server(OWN)
        self.resolver = dns.Misbehaving(address=RESOLVER)
        self.resolver.rules = self.rules

    def prepare(self, case, number):
        case.number = number
        case.sender = f"ann{number}@ours.example"
        case.client = f"192.0.2.{65 + number % 60}"
        case.recipients = []
        for i, (site, word) in enumerate(case.plan):
            name = f"{number}-{site}"
            domain = case.more.get("domain", f"s{name}")
            if site not in case.servers:
                address = next(self.addresses)
                self.zone.append(f"s{name} MX 10 mx{name}\nmx{name} A {address}\n")
                case.servers[site] = Remote(case, name, address)
                if "dns" in case.more:
                    self.rules[(f"s{name}.table.example", None)] = case.more["dns"]
            case.recipients.append((f"{word}-{i}@{domain}.table.example", site, word))

    def begin(self, gate):
        self.gate, self.spool = gate, Spool(gate)
        workers = min(24, len(self.cases))
        self.pool = concurrent.futures.ThreadPoolExecutor(workers)
        self.outcomes = {case.name: self.pool.submit(self.play, case) for case in self.cases}

    def play(self, case):
        try:
            (play_phase if isinstance(case, Phase) else play)(self, case)
        finally:
            case.mended.set()

    def mend(self, case):
        case.mended.set()
        for server in case.servers.values():
            self.rules.pop((f"s{server.host[2:]}.table.example", None), None)
            if "down" in case.more:
                server.start()

    def notices(self, case):
        return [email.message_from_bytes(m.message) for m in list(self.own.mails)
                if m.recipients == [case.sender]]


@pytest.fixture(scope="module")
def played(nsd, gateway_module, tmp_path_factory):
    made = Table(CASES + PHASES)
    nsd.set({"ours.example": f"@ MX 10 mx\nmx A {GATE}\n",
             "table.example": "null MX 0 .\n" + "".join(made.zone)})
    nsd.restart()
    servers = [server for case in CASES + PHASES for server in case.servers.values()]
    made.resolver.start()
    for server in (made.own, *servers):
        if server is made.own or "down" not in server.case.more:
            server.start()
    spool = tmp_path_factory.mktemp("table") / "spool"
    made.begin(gateway_module(CONFIG.format(spool=spool)))
    yield made
    made.pool.shutdown(cancel_futures=True)
    for server in (made.own, *servers):
        server.stop()
    made.resolver.stop()


# ---- what must come of a case

def fate_at_once(case, site, word):
    """Of a recipient when the client has its answer: a site that is silent has told nothing."""
    words = {w for _, s, w in case.recipients if s == site}
    if words & {"mute", "hush"}:
        return "waiting"
    return {"ok": "delivered", "no": "refused", "later": "waiting"}[word]


def expected(case):
    fates = [fate_at_once(case, site, word) for _, site, word in case.recipients]
    return {fate: fates.count(fate) for fate in ("delivered", "refused", "waiting")}


def send(case):
    with smtp.Client(SUBMIT, source=case.client, timeout=120) as client:
        return client.mail(case.sender, [r for r, _, _ in case.recipients],
                           smtp.message(case.name, case.sender, case.recipients[0][0]))


def check_reply(said, case, want):
    hosts = "|".join(s.host for s in case.servers.values())
    assert all(r.code == 250 for r in said.recipients), said
    text = str(said.dot)
    if want["refused"] == len(case.recipients):
        assert (said.dot.code, said.dot.enhanced) == (550, "5.1.1"), said
        assert re.search(rf"Nobody of that name at ({hosts})\b", text), said
    elif want["delivered"] == len(case.recipients):
        assert (said.dot.code, said.dot.enhanced) == (250, "2.0.0"), said
        assert re.search(rf"Delivered \(\S+\): ({hosts}) has it", text), said
    elif want["waiting"] == len(case.recipients):
        assert said.dot.code == 250 and re.search(r"Queued \(\S+\)$", text), said
    else:
        assert said.dot.code == 250, said
        assert (f"{want['delivered']} delivered, {want['refused']} refused, "
                f"{want['waiting']} queued") in text, said


def check_spool(table, case, want):
    """One mail with those that wait, or none at all."""
    items = table.spool.of(case.sender)
    if want["waiting"] == 0:
        table.spool.wait_empty(case.sender)
        return
    assert len(items) == 1, items
    item = items[0]
    assert (item["kind"], item["direction"], item["held"]) == ("send", "outbound", False), item
    states = item["recipients"]
    assert sum(states.values()) == len(case.recipients), item
    assert states["waiting"] + states["doubt"] == want["waiting"], item
    assert states["delivered"] == want["delivered"], item
    assert states["failed"] + states["told"] == want["refused"], item


def arrived(case):
    """Every recipient of every mail that a server has taken."""
    return sorted(r for server in case.servers.values() for m in list(server.mails)
                  for r in m.recipients)


def check_notices(table, case, refused, at_once):
    """A refused one is told of once, in its remote's words, unless the reply has told it."""
    told = []
    for notice in table.notices(case):
        assert notice.get_content_type() == "multipart/report", notice
        blocks = notice.get_payload(1).get_payload()
        assert blocks[0]["Reporting-MTA"] == "dns; mx.ours.example"
        for block in blocks[1:]:
            recipient = block["Final-Recipient"].partition("; ")[2]
            site = recipient.partition("@s")[2].partition(".")[0]
            assert (block["Action"], block["Status"]) == ("failed", "5.1.1"), block.as_string()
            assert block["Diagnostic-Code"].endswith(f"Nobody of that name at mx{site}"), \
                block.as_string()
            assert block["Remote-MTA"].startswith(f"dns; mx{site}."), block.as_string()
            told.append(recipient)
        assert case.name in notice.as_string()
    assert sorted(told) == sorted(refused), (told, at_once)


def play(table, case):
    want = expected(case)
    before = time.monotonic()
    said = send(case)
    took = time.monotonic() - before
    silent = any(w in ("mute", "hush") for _, _, w in case.recipients)
    check_reply(said, case, want)
    assert took > BUDGET_S - 0.5 if silent else took < BUDGET_S, took
    check_spool(table, case, want)
    all_refused = want["refused"] == len(case.recipients)
    refused = [] if all_refused else [r for r, _, w in case.recipients if w == "no"]
    if want["refused"] and not all_refused:
        proc.wait_until(lambda: table.notices(case), "a notice", 30)
    elif want["refused"] == 0 or all_refused:
        assert table.notices(case) == []
    table.mend(case)
    table.spool.wait_empty(case.sender, MENDED_S)
    wanted = sorted(r for r, _, w in case.recipients if w != "no")
    assert arrived(case) == wanted
    proc.wait_until(lambda: len(table.notices(case)) >= bool(refused), "the notice", 30)
    check_notices(table, case, refused, want)


def play_phase(table, case):
    before = time.monotonic()
    said = send(case)
    took = time.monotonic() - before
    assert said.dot.code == case.code, said
    assert re.search(case.words, str(said.dot)), said
    assert took > BUDGET_S - 0.5 if "silent" in case.more else took < BUDGET_S, took
    if case.code != 250:
        assert table.spool.of(case.sender) == []
        assert arrived(case) == [] and table.notices(case) == []
        return
    items = table.spool.of(case.sender)
    assert len(items) == 1, items
    states = items[0]["recipients"]
    assert states["waiting"] + states["doubt"] == 1 and sum(states.values()) == 1, items
    if "doubt" in case.more:
        assert states["doubt"] == 1, items
    if case.reason:
        assert items[0]["reason"] == case.reason, items
    if WORDS in str(case.script):
        assert WORDS in items[0]["words"], items
    table.mend(case)
    table.spool.wait_empty(case.sender, MENDED_S)
    assert arrived(case) == [r for r, _, _ in case.recipients]
    assert table.notices(case) == []


@pytest.mark.parametrize("case", PHASES, ids=str)
def test_phase(played, case):
    played.outcomes[case.name].result(180)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(played, case):
    played.outcomes[case.name].result(180)

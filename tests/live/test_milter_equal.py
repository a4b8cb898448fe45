"""MLT-06: one gateway as SMTP proxy and as milter of a real Postfix says the same of every mail.

Both listeners stand in one configuration, so that a decision's rule is one file and line. The mails
are those of ../shared/suites. Compared are the reply, the decision and its rule, the header that
arrived without the Received of each way, and the body.

Where Postfix changes a mail before its milter sees it, the mail goes a third way: through a
Postfix without a milter, and what that made of it through the proxy. Then nothing may differ, and
what Postfix has changed must be one of the CHANGES below.
"""
import base64
import collections
import concurrent.futures
import json
import os
import re
import threading

import pytest

from lab import milter, proc, smtp

pytestmark = pytest.mark.slow
GATE, GATE_SINK = "192.0.2.44", "198.51.100.31"
MTA, PLAIN, MTA_SINK = "198.51.100.32", "198.51.100.34", "198.51.100.33"
CLIENT = "192.0.2.71"
CONFIG = """\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "{gate}:25"
listen milter on "{listen}"{front}
domain "ours.example" deliver to "{sink}:25"
limits {{ per client 1000 }}
filter virus {{ database "signatures" }}
pattern word /(?i)unsubscribe|viagra/
inbound {{
    reject with "550 5.7.23 SPF says no" if spf is fail
    reject with "550 5.7.1 subject" if subject contains "casino"
    reject if virus
    reject with "550 5.7.26 author" if dmarc is fail and dmarc.policy is reject
    reject with "550 5.7.1 {{program}}" if attachment.name matches "*.{{exe,scr,js,pif}}"
    reject with "550 5.7.20 signature" if dkim is fail and header "X-Strict" contains "yes"
    discard if subject contains "returned mail"
    defer with "451 4.7.1 later" if attachment.type matches "*rfc822*" and size > 40K
    tag "X-Dkim: pass" if dkim is pass
    tag "X-Dkim: fail" if dkim is fail
    tag "X-Dkim: permerror" if dkim is permerror
    tag "X-Word: yes" if body contains word
    tag "X-Spf: pass" if spf is pass
    tag "X-Report: yes" if attachment.type matches "*delivery-status*"
    tag "X-Images: yes" if attachment.type matches "image/*"
    remove header "X-Mailer"
    remove header "Received-SPF"
    accept
}}
"""
SIGNATURES = ("44d88612fea8a8f36de82e1278abb02f:68:Eicar-Test\n"
              "aa15bcf478d165efd2065190eb473bcb:544:ClamAV-Test-File\n")
# What Postfix makes of a mail before a milter sees it; gateway/milter/README.md.
CHANGES = {
    "a bare CR becomes a blank": lambda m: re.search(rb"\r(?!\n)", m),
    "a value ends at a NUL": lambda m: b"\0" in head_of(m),
    "Return-Path, Bcc, Content-Length are taken out": lambda m: re.search(
        rb"(?im)^(return-path|bcc|resent-bcc|content-length)[ \t]*:", head_of(m)),
    "a first line `From ` becomes X-Mailbox-Line": lambda m: re.match(rb">?From ", m),
    "blanks before a colon are taken out": lambda m: re.search(
        rb"(?m)^[!-9;-~]+[ \t]+:", head_of(m)),
    "a line that is no field ends the header": lambda m: any(
        not re.match(rb"[!-9;-~]+[ \t]*:|[ \t]", line)
        for line in head_of(m).split(b"\r\n")) or m[:1] in b" \t",
    "a field of more than 64 KiB is cut": lambda m: any(
        len(f) > 65536 for f in re.split(rb"\r\n(?![ \t])", head_of(m))),
    "a header without body gets its blank line": lambda m: b"\r\n\r\n" not in m,
}
TEXT = ("From: <joe@sender.example>\r\nTo: <ann@ours.example>\r\nSubject: {}\r\n"
        "Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{}@sender.example>\r\n")


def head_of(mail):
    return mail.partition(b"\r\n\r\n")[0]


def crlf(data):
    """Files have the line ends of their time; what has neither LF nor CRLF keeps its bare CR."""
    data = data if b"\r\n" in data else data.replace(b"\n", b"\r\n")
    data = re.sub(rb"(?<!\r)\n", b"\r\n", data)
    return data if data.endswith(b"\r\n") else data + b"\r\n"


class Case:
    """One mail: its name, envelope and bytes; what came of it on each way is put in later."""

    def __init__(self, name, mail, helo=b"mail.sender.example", sender=b"<joe@sender.example>"):
        self.name, self.mail, self.helo, self.sender = name, mail, helo, sender
        self.said = {}

    def __repr__(self):
        return self.name


FILES = ("dkim-matrix-own/*.eml", "dkim-gomsgauth/*.eml", "eml-mailauth/*.eml",
         "arf-tlsrpt/**/*.eml", "mime-hostile-own/*.eml", "mime-mime4j/**/*.msg",
         "mime-python/*.txt",
         "bounces-sisimai/maildir/dos/*.eml", "bounces-sisimai/maildir/err/*.eml",
         "bounces-sisimai/maildir/not/*.eml", "authheaders/**/*.message*")
# Of large sets that are much alike, one mail in so many; all of them in `tests/run --long`.
ALL = "POSTERN_EVERY_MAIL" in os.environ
EVERY = {"bounces-sisimai/maildir/bsd/*.eml": 1 if ALL else 4,
         "bounces-sisimai/maildir/mac/*.eml": 1 if ALL else 8}
FROM_LINES = 1 if ALL else 15


def as_sent(mail):
    """A mail of a mailbox without what its delivery put on top: `From `, Return-Path and so on."""
    while found := re.match(rb"(>?From |Return-Path:|Delivered-To:|X-Original-To:).*\r\n"
                            rb"(?:[ \t].*\r\n)*", mail):
        mail = mail[found.end():]
    return mail


def of_files(home):
    for pattern in (*FILES, *EVERY):
        found = sorted(home.glob(pattern))[::EVERY.get(pattern, 1)]
        for path in found:
            mail = crlf(path.read_bytes())
            # Those under err/ keep what they have: Postfix takes some of it out before the milter.
            yield Case(str(path.relative_to(home)), mail if "/err/" in str(path) else as_sent(mail))


def of_archives(home):
    for path in sorted((home / "archives/clamav-testfiles").glob("*")):
        body = base64.encodebytes(path.read_bytes()).replace(b"\n", b"\r\n")
        yield Case(f"archives/{path.name}", TEXT.format(path.name, path.name).encode()
                   + b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
                     b'Content-Disposition: attachment; filename="' + path.name.encode()
                   + b'"\r\nContent-Transfer-Encoding: base64\r\n\r\n' + body)


def of_espoofer(home):
    for line in (home / "espoofer/cases.jsonl").read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        head = ""
        if case["dkim"]:
            head = (f"DKIM-Signature: v=1; a=rsa-sha256; c=simple/relaxed; d={case['dkim']['d']}; "
                    f"s={case['dkim']['s']}; h=from; bh=MHIwMQ==; b=MHIwMQ==\r\n")
        parts = (re.sub(rb"(attack|legitimate|victim|any)\.com", rb"\1.example",
                        text.encode("latin-1"))
                 for text in (head + case["message"], case["helo"], case["mailfrom"]))
        yield Case(f"espoofer/{case['id']}", *parts)


def of_from_lines(home):
    lines = json.loads((home / "emailtesttools/fuzz.json").read_text(encoding="utf-8"))
    for i, line in list(enumerate(lines))[::FROM_LINES]:
        try:
            line = line.encode("latin-1")
        except UnicodeEncodeError:
            line = line.encode("utf-8")
        line = line if line.endswith(b"\r\n") else line + b"\r\n"
        rest = TEXT.format("from line", i).encode().partition(b"\r\n")[2]
        yield Case(f"emailtesttools/{i}", line + rest + b"\r\nHello\r\n")


def of_envelopes():
    """Refusals before the data, by rules and by what stands in the session."""
    mail = (TEXT.format("envelope", "envelope") + "\r\nHello\r\n").encode()
    for sender in (b"<joe@bad.example>", b"<>", b"<joe@nothing.example>", b"<joe@broken.example>"):
        for helo in (b"mail.sender.example", b"bad.example", b"[192.0.2.71]"):
            yield Case(f"envelope/{sender.decode()}/{helo.decode()}", mail, helo, sender)


@pytest.fixture(scope="module")
def cases(suite):
    home = suite("")
    found = [*of_files(home), *of_archives(home), *of_espoofer(home), *of_from_lines(home),
             *of_envelopes()]
    assert len(found) > 800, f"sets are missing: only {len(found)} mails"
    return found


def keys_of(home):
    """DNS records of the sets' keys, relative to example.com."""
    records = []
    for path in ("dkim-matrix-own/keys.txt", "dkim-gomsgauth/keys.txt"):
        for line in (home / path).read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            if name.endswith(".example.com") and text:
                parts = " ".join(f'"{text[i:i + 200]}"' for i in range(0, len(text), 200))
                records.append(f"{name}. TXT {parts}\n")
    assert len(records) > 5
    return "".join(dict.fromkeys(records))


@pytest.fixture(scope="module")
def zones(nsd, suite):
    nsd.set({
        "example.com": "@ MX 10 mx\nmx A 192.0.2.25\n" + keys_of(suite("")),
        "sender.example": f'@ TXT "v=spf1 ip4:{CLIENT} -all"\n@ MX 10 mail\nmail A {CLIENT}\n'
                          f'mail TXT "v=spf1 a -all"\n_dmarc TXT "v=DMARC1; p=none"\n',
        "bad.example": '@ TXT "v=spf1 -all"\n_dmarc TXT "v=DMARC1; p=reject"\n',
        "broken.example": '@ TXT "v=spf1 ip4:nonsense -all"\n',
        "attack.example": f'@ TXT "v=spf1 ip4:{CLIENT} -all"\n@ MX 10 mail\nmail A {CLIENT}\n'
                          f'helo TXT "v=spf1 ip4:{CLIENT} -all"\n'
                          f'*.a TXT "v=spf1 ip4:{CLIENT} -all"\n',
        "legitimate.example": '@ TXT "v=spf1 -all"\n_dmarc TXT "v=DMARC1; p=reject"\n'
                              "@ A 192.0.2.90\n",
    })
    nsd.restart()


def write(client, case, recipient, fresh):
    """One transaction; the replies up to the one that decided."""
    said = [client.command(b"EHLO " + case.helo)] if fresh else []
    for line in (b"MAIL FROM:" + case.sender, b"RCPT TO:<" + recipient + b">", b"DATA"):
        said.append(client.command(line))
        if said[-1].code not in (250, 354):
            return said[-1]
    client.send(smtp.stuffed(case.mail))
    return client.reply()


def play(address, cases, way):
    """All cases over a few connections at once; recipients tell them apart afterwards."""
    local = threading.local()

    def one(i):
        case = cases[i]
        fresh = getattr(local, "helo", None) != case.helo or local.count >= 20
        if fresh:
            local.client = smtp.Client(address, source=CLIENT, timeout=60)
            local.helo, local.count = case.helo, 0
        local.count += 1
        reply = write(local.client, case, b"%s%d@ours.example" % (way.encode(), i), fresh)
        case.said[way] = reply
        if reply.code == 250:
            return True
        if reply.code == 421 or reply.code == 0 or local.client.command("RSET").code != 250:
            local.helo = None
        return False
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        return sum(pool.map(one, range(len(cases))))


def by_recipient(mails):
    found = {}
    for mail in mails:
        assert len(mail.recipients) == 1 and mail.recipients[0] not in found, mail
        found[mail.recipients[0]] = mail
    return found


def without_received(mail, host):
    """What arrived without the one Received field of the way: header, and body."""
    data, n = re.subn(rb"(?m)^Received: from [^\r]*\r\n(?:[ \t][^\r]*\r\n)*?[ \t]by "
                      + host + rb" (?:.*\r\n)(?:[ \t].*\r\n)*", b"", mail.message, count=1)
    assert n == 1, mail.message[:2000]
    return data


def nameless(text):
    """A reply without our own name of the mail, which is another on each way."""
    return re.sub(r" \([a-z0-9]{10}\.\d+\)$", "", text)


def decision(events, recipient):
    """(decision, rule, reply's text, bytes) of what was logged of this recipient's mail.

    The bytes only where the rules were asked: what is refused before is not read to its end. A
    sender that is no address is to the SMTP server an error of syntax like others, without event.
    """
    found = [e for e in events if e.get("event") in ("mail", "reject", "defer")
             and recipient in e.all("recipient")]
    assert len(found) <= 1, found
    if not found:
        return None
    event = found[0]
    if event.rule == "reverse-path":
        return None
    word = event.get("decision", event["event"])
    reply = nameless(event["reply"]) if word in ("reject", "defer") else ""
    return word, event.rule, reply, event.get("bytes") if "file" in event else None


class Way:
    """What came of all cases on one way: told(i) is comparable between ways."""

    def __init__(self, name, cases, events, mails, host):
        self.name, self.cases = name, cases
        self.events = collections.defaultdict(list)
        for event in events:
            for recipient in event.all("recipient"):
                self.events[recipient].append(event)
        self.mails, self.host = by_recipient(mails), host

    def told(self, i):
        recipient = f"{self.name}{i}@ours.example"
        reply = self.cases[i].said[self.name]
        mail = self.mails.get(recipient)
        words = nameless(str(reply)) if reply.code >= 400 else ""
        return {"reply": (reply.code, reply.enhanced, words),
                "decision": decision(self.events[recipient], recipient),
                "mail": mail and without_received(mail, self.host)}


def differences(one, other):
    return [key for key in one if one[key] != other[key]]


@pytest.fixture(scope="module", params=milter.FRONTS, ids=milter.FRONT_NAMES)
def ways(request, gateway_module, zones, cases):
    """All cases on all three ways; where the library is the front, one in four."""
    if request.param:
        cases = cases[::4]
    config = CONFIG.format(gate=GATE, listen=milter.LISTEN, front=request.param, sink=GATE_SINK)
    gate = gateway_module(config, {"signatures/main.hdb": SIGNATURES})
    # No lines broken on the way out, no bounds of its own: what differs shall be ours.
    mta = milter.Mta("postfix", MTA, MTA_SINK, main={
        "smtp_line_length_limit": "0", "header_size_limit": "20000000", "hopcount_limit": "1000",
        "in_flow_delay": "0", "smtpd_hard_error_limit": "10000", "smtpd_soft_error_limit": "9999",
        "mime_nesting_limit": "1000", "smtpd_client_connection_count_limit": "0",
        "header_address_token_limit": "1000000"})
    mta.peer.services += f"{PLAIN}:smtp inet n - n - - smtpd\n -o smtpd_milters=\n"
    proc.add_address(PLAIN)
    with smtp.Server(GATE_SINK) as gate_sink, smtp.Server(MTA_SINK) as mta_sink, mta:
        def at_mta(count):
            proc.wait_until(lambda: len(mta_sink.mails) == count, f"{count} mails at the sink", 120)
        play(GATE, cases, "g")
        play(MTA, cases, "p")
        discarded = sum(1 for e in gate.events("mail", decision="discard")
                        if e["recipient"].startswith("p"))
        taken = sum(1 for c in cases if c.said["p"].code == 250) - discarded
        at_mta(taken)
        through = mta_sink.mails[:]
        events = gate.events()
        proxy = Way("g", cases, events, gate_sink.mails, rb"mx\.ours\.example")
        filtered = Way("p", cases, events, through, rb"milter\.lab\.example")
        differ = [i for i in range(len(cases))
                  if differences(proxy.told(i), filtered.told(i))]
        again = [Case(cases[i].name, cases[i].mail, cases[i].helo, cases[i].sender)
                 for i in differ]
        at_mta(taken + play(PLAIN, again, "n"))
        plain = by_recipient(mta_sink.mails[taken:])
        for n, case in enumerate(again):
            if case.said["n"].code == 250:
                case.mail = without_received(plain[f"n{n}@ours.example"], rb"milter\.lab\.example")
        before = len(gate_sink.mails)
        play(GATE, again, "a")
        second = Way("a", again, gate.events(), gate_sink.mails[before:], rb"mx\.ours\.example")
        yield proxy, filtered, differ, again, second
    gate.stop()  # the next front needs the ports


def test_every_mail_is_judged_alike(ways):
    """Directly, or once Postfix's own changes are made for the proxy too; nothing else."""
    proxy, filtered, differ, again, second = ways
    cases = proxy.cases
    wrong, reasons = [], collections.Counter()
    for n, i in enumerate(differ):
        case = cases[i]
        if case.said["p"].code != 250 and filtered.told(i)["decision"] is None:
            # Postfix has refused it without asking; then it must do so without a milter too.
            assert again[n].said["n"].code == case.said["p"].code, (case, case.said, again[n].said)
            reasons[f"Postfix itself: {case.said['p']}"] += 1
            continue
        keys = differences(second.told(n), filtered.told(i))
        why = [word for word, has in CHANGES.items() if has(case.mail)]
        if keys or not why or again[n].mail == case.mail:
            wrong.append(f"{case}: {differences(proxy.told(i), filtered.told(i))}, and as Postfix "
                         f"passes it on {keys}; {why}\n"
                         + "".join(f"  {w.name}: {str(t)[:1500]}\n" for w, t in
                                   ((proxy, proxy.told(i)), (second, second.told(n)),
                                    (filtered, filtered.told(i)))))
        for word in why:
            reasons[word] += 1
    equal = len(cases) - len(differ)
    print(f"{len(cases)} mails, {equal} equal, {len(differ)} changed by Postfix before the milter")
    for word, count in reasons.most_common():
        print(f"{count:6} {word}")
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong[:12])
    if "POSTERN_FIGURES" in os.environ:
        with open(os.environ["POSTERN_FIGURES"], "a", encoding="utf-8") as f:
            f.write(f"mails judged alike by SMTP and as milter\t{equal} of {len(cases)}\t"
                    f"the other {len(differ)} are changed by Postfix first; made so for the "
                    "proxy too they are judged alike\n")


def test_the_cases_reach_every_rule(ways, cases):
    """Equal is worth something only where there was something to say."""
    proxy, filtered, *_ = ways
    if len(proxy.cases) < len(cases):
        assert len(proxy.cases) > 200
        return
    for way in (proxy, filtered):
        rules = collections.Counter(
            decision(e, r)[:2] for r, e in way.events.items() if r.startswith(way.name)
            and decision(e, r))
        kinds = collections.Counter(kind for (kind, _), n in rules.items() for _ in range(n))
        print(way.name, dict(kinds), len(rules), "rules")
        assert kinds["accept"] > 400 and kinds["reject"] > 50 and kinds["discard"] > 0
        assert len(rules) >= 8, rules
        tagged = collections.Counter(
            name for mail in way.mails.values() for name in
            (b"X-Dkim: pass", b"X-Dkim: fail", b"X-Word: yes", b"X-Spf: pass", b"X-Report: yes",
             b"X-Images: yes") if b"\r\n" + name + b"\r\n" in b"\r\n" + mail.message)
        assert len(tagged) == 6 and min(tagged.values()) >= 3, tagged
    assert not any(re.search(rb"(?im)^X-Mailer:", head_of(m.message))
                   for m in filtered.mails.values())

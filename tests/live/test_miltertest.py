"""Debian's miltertest as the MTA, with the scripts of tests/data/miltertest (MLT-01 to MLT-03).

Each script runs under four negotiations: all that an MTA of version 6 or 2 can offer, and nothing
that is optional, so that every step is sent and answered. A script tells how many checks it made;
here stands how many there must be, and how many mails the log must tell of.
"""
import collections
import textwrap

import pytest

from lab import postern, proc

SCRIPTS = proc.REPOSITORY / "tests/data/miltertest"
FRONTS = ("native", "libmilter")
# A front's words in the configuration, and the steps of an MTA that offers none: libmilter takes 0
# for all of version 1, so it is offered what no rule wants, refused recipients.
FORMS = {"native": ("", 0), "libmilter": (" through libmilter", 0x800)}
WRONG = ("bug", "child-exit", "fact-failed", "config-error")
OFFERS = ("6-all", "6-none", "2-all", "2-none")
SOCKET = "inet:8891@127.0.0.1"
CONFIG = """\
hostname "mx.example.com"
resolver "192.0.2.53:53" trust "trust.key"
listen milter on "{socket}" outbound from {{ 198.51.100.64/26 }} outbound authenticated{front}
domain "example.com"
{more}
inbound {{
{inbound}
    accept
}}
outbound {{
{outbound}
    accept
}}
"""
NOT_FOR = """\
reject if recipient is "no@example.com"
defer if recipient is "later@example.com"
"""
WANT = """\
reject with "550 5.7.1 Not here" if header "X-Want" is "reject"
defer with "451 4.7.1 Come again" if header "X-Want" is "defer"
reject with "554 5.6.1 100% sure, %s and %n too" if header "X-Want" is "percent"
reject with "550 5.7.1 """ + 150 * "%x" + """" if header "X-Want" is "long"
discard if header "X-Want" is "discard"
"""
TRAP = """\
reject with "554 5.7.1 A trap" if recipients is "trap@example.com"
defer with "451 4.7.1 Too slow" if recipients is "slow@example.com"
"""
LARGE = 'tag "X-Large: yes" if size > 40K\n'
TAG = 'tag "X-Tag: yes"\n'
NULL = 'tag "X-Null: yes" if sender is "<>"\n'


class Script:
    """What a script stands on and must bring: checks, and decisions of the log's mails, a run.

    broken: protocol events of MTAs that are no MTAs for these rules, a run.
    """

    def __init__(self, checks, mails, inbound="", outbound="", more="", broken=0):
        self.checks, self.broken = checks, broken
        self.mails = collections.Counter(mails)
        self.inbound, self.outbound, self.more = inbound, outbound, more

    def config(self, front):
        def indented(rules):
            return textwrap.indent(rules.rstrip(), "    ")
        return CONFIG.format(socket=SOCKET, front=FORMS[front][0], more=self.more,
                             inbound=indented(self.inbound), outbound=indented(self.outbound))


ALL = {
    "abort": Script(575, {"accept": 28, "reject": 2}, NOT_FOR + WANT + TAG),
    "body": Script(186, {"accept": 8, "reject": 3}, LARGE),
    "connect": Script(
        121, {"accept": 7},
        'tag "X-Net: yes" if client.ip in { 192.0.2.64/26 }\n'
        'tag "X-Six: yes" if client.ip in { 2001:db8::/32 }\n'
        'tag "X-None: yes" if client.ip not in { 0.0.0.0/0, ::/0 }\n'
        'tag "X-Helo: yes" if helo is "name.example"\n',
        'tag "X-Out: yes"\n'),
    "data": Script(43, {"accept": 3, "reject": 1, "defer": 1}, TRAP),
    "discard": Script(81, {"accept": 3, "discard": 3}, WANT + 'tag "X-Tag: new"\n'),
    "disconnect": Script(200, {"accept": 3}, NOT_FOR + WANT + TAG + LARGE),
    "edits": Script(
        97, {"accept": 5},
        'tag "X-Tag: first"\ntag "X-Two: a: b; c"\nremove header "X-Gone"\n'
        'tag "X-Never: yes" if sender is "nobody@sender.example"\n'),
    "eoh": Script(45, {"accept": 4}, 'tag "X-Small: yes" if size < 1K\n'),
    "header": Script(
        244, {"accept": 5, "reject": 7},
        'reject with "550 5.7.1 bad by its header" if header "X-Bad" is "yes"\n'),
    "large": Script(840, {"accept": 4, "reject": 2}, LARGE, LARGE, "limits { mail size 1M }"),
    "macros": Script(
        91, {"accept": 6},
        'tag "X-Tls: yes" if tls\n', 'tag "X-User: ann" if user is "ann"\n'),
    "many": Script(1240, {"accept": 68, "reject": 12}, NOT_FOR + WANT + TAG),
    "negotiation": Script(155, {"accept": 1}, 'redirect to "b@example.com"\n', broken=2),
    "quarantine": Script(
        46, {"quarantine": 2, "accept": 1},
        'tag "X-Tag: first"\n'
        'quarantine "forged" if header "X-Keep" is "named"\n'
        'quarantine if header "X-Keep" is "yes"\n'),
    "recipient": Script(156, {"accept": 4}, NOT_FOR, more="limits { recipients 100 }"),
    "recipients": Script(
        52, {"accept": 3}, 'redirect to "new@example.com"\n',
        'copy to "copy@example.com" if sender is not "secret@example.com"\n'),
    "replies": Script(
        87, {"accept": 1, "reject": 5, "defer": 1}, NOT_FOR + TRAP + WANT,
        more='user "ann" sends as { "ann@example.com" }\n'),
    "sender": Script(155, {"accept": 12}, NULL),
    "session": Script(
        735, {"accept": 24, "reject": 12, "discard": 12}, NOT_FOR + WANT + TAG + NULL),
    "sign": Script(
        165, {"accept": 12},
        'tag "X-Dkim: pass" if dkim is pass\ntag "X-Dkim: fail" if dkim is fail\n', "sign\n",
        'sign "ours.example" selector "s1" key "s1.pem"\n'),
    "unknown": Script(34, {"accept": 2}, NOT_FOR + TAG),
}


@pytest.fixture(scope="module")
def key(nsd, tmp_path_factory):
    """The key of ours.example, whose record is in the DNS."""
    path = tmp_path_factory.mktemp("miltertest") / "s1.pem"
    made = proc.run(postern.binary("postern"), "dkim", "keygen", "ours.example", "s1", "rsa2048",
                    path)
    nsd.set({"ours.example": f"@ MX 10 mx\nmx A 192.0.2.70\n{made.stdout.splitlines()[0]}\n"})
    nsd.restart()
    return path


def run(name, front, offer):
    """Exit status 0 and the last line "checks N": N; else what was said, as an error."""
    done = proc.run("miltertest", "-s", SCRIPTS / f"{name}.lua", "-D", f"folder={SCRIPTS}",
                    "-D", f"socket={SOCKET}", "-D", f"offer={offer}",
                    "-D", f"front={front}", "-D", f"nothing={FORMS[front][1]}",
                    check=False, timeout=120)
    said = done.stdout.splitlines()
    assert done.returncode == 0 and said, f"{name} {offer}: {done.returncode}\n{done.stdout}"
    assert said[-1].startswith("checks "), done.stdout
    return int(said[-1].split()[1])


def test_every_script_is_run():
    assert {path.stem for path in SCRIPTS.glob("*.lua")} == {*ALL, "common"}
    assert all(script.checks > 0 for script in ALL.values())


def decisions(gate):
    return collections.Counter(e["decision"] for e in gate.events("mail"))


def settled(gate):
    """Every session is over, so all that it has to tell is in the log."""
    return len(gate.events("connect")) == len(gate.events("close"))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("front", FRONTS)
def test_script(gateway, key, front, name):
    """One gateway for the four negotiations, one after another: none leaves anything behind."""
    script = ALL[name]
    gate = gateway(script.config(front), {"s1.pem": key})
    made, wrong, before = {}, [], collections.Counter()
    for offer in OFFERS:
        try:
            made[offer] = run(name, front, offer)
        except AssertionError as e:
            wrong.append(str(e))
        proc.wait_until(lambda: settled(gate), "the end of all sessions")
        mails, before = decisions(gate) - before, decisions(gate)
        if mails != script.mails:
            wrong.append(f"{offer}: the log tells of {dict(mails)}")
    assert not wrong, "\n".join(wrong)
    assert made == dict.fromkeys(OFFERS, script.checks)
    assert len(gate.events("protocol")) == script.broken * len(OFFERS)
    for event in WRONG if script.broken else (*WRONG, "system-error"):
        assert not gate.events(event), gate.events(event)[0]


@pytest.mark.parametrize("front", FRONTS)
def test_an_mta_that_offers_too_little_is_no_error_of_the_system(gateway, key, front):
    gate = gateway(ALL["negotiation"].config(front), {"s1.pem": key})
    run("negotiation", front, OFFERS[0])
    proc.wait_until(lambda: len(gate.events("protocol")) == 2 and settled(gate), "the log's lines")
    assert not gate.events("system-error")


@pytest.fixture(params=FRONTS)
def told(request, gateway, key):
    """The log's mails after the script about macros, of one session under each negotiation."""
    gate = gateway(ALL["macros"].config(request.param), {"s1.pem": key})
    for offer in OFFERS:
        run("macros", request.param, offer)
    proc.wait_until(lambda: settled(gate), "the end of all sessions")
    return gate.events("mail")


def test_macros_reach_the_log(told):
    """The queue's name and the account stand in the line of their own mail and in no other."""
    found = [(e.get("queue"), e.get("user"), e["direction"]) for e in told]
    session = [("MAIL1", None, "inbound"), ("MAIL2", "ann", "outbound"), ("MAIL3", None, "inbound"),
               ("MAIL6", None, "inbound"), ("MAIL7", None, "inbound")]
    assert [one for at, one in enumerate(found) if at % 6 != 3] == len(OFFERS) * session
    assert {one[1:] for one in found[3::6]} == {(None, "inbound")}


def test_the_name_that_comes_at_the_end_reaches_the_log(told):
    assert [e.get("queue") for e in told[3::6]] == len(OFFERS) * ["MAIL4"]


def test_each_mail_has_an_id_of_its_own(told):
    assert len({e["mail"] for e in told}) == len(told)

"""libspf2 and libopendkim in their own process: deciding, compared, and killed.

With `engine` the library decides; with `compare` ours does, and each difference is an event. What
kills a worker costs one mail's fact: temperror, one event, and mail flows on.
"""
import pathlib
import signal
import sys
import threading

import pytest

from lab import proc, smtp

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "suites"))
import dkim_differential as differential  # noqa: E402

pytestmark = pytest.mark.engines
DECIDE, COMPARE, PLAIN = "192.0.2.40", "192.0.2.41", "192.0.2.42"
SERVER, CLIENT = "198.51.100.40", "192.0.2.76"
RULES = """\
hostname "mx.example.com"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "{gate}:25"
domain "victim.example" deliver to "{server}:25"
{filters}
inbound {{
    reject if spf is fail
    reject if spf is permerror
    defer if spf is temperror
    reject if dkim is fail
    reject if dkim is permerror
    defer if dkim is temperror
    accept
}}
"""
FILTERS = "filter spf {{ {word} libspf2 }}\nfilter dkim {{ {word} libopendkim }}"
# The explanation that runs over the stack of libspf2 as Debian packages it.
MACROS = "See " + "%{i}" * 127 + " and some text behind them"


def quoted(text):
    return " ".join(f'"{text[i:i + 200]}"' for i in range(0, len(text), 200))


@pytest.fixture(scope="module")
def key():
    return differential.Key("rsa", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")


@pytest.fixture(scope="module")
def zones(nsd, key):
    nsd.set({
        "good.example": f'@ TXT "v=spf1 mx include:more.good.example -all"\n@ MX 10 mail\n'
                        f'mail A 192.0.2.99\nmore TXT "v=spf1 a:out.good.example -all"\n'
                        f"out A {CLIENT}\n"
                        f"rsa._domainkey TXT {quoted('v=DKIM1; k=rsa; p=' + key.public)}\n"
                        "bare._domainkey TXT "
                        f"{quoted('v=DKIM1; k=rsa; p=' + differential.bare_rsa(key.public))}\n",
        "bad.example": '@ TXT "v=spf1 ip4:203.0.113.1 -all"\n',
        "evil.example": f'@ TXT "v=spf1 -all exp=why.evil.example"\nwhy TXT {quoted(MACROS)}\n',
        "differs.example": '@ TXT "v=spf1 ip4:0.0.0.0/0 -all"\n',
        "victim.example": f"@ MX 10 mx\nmx A {PLAIN}\n",
    })
    nsd.restart()


@pytest.fixture(scope="module")
def gates(gateway_module, zones):
    """{"engine": ..., "compare": ...}: each gateway and its address."""
    with smtp.Server(SERVER) as sink:
        started = {}
        for word, address in (("engine", DECIDE), ("compare", COMPARE)):
            config = RULES.format(gate=address, server=SERVER, filters=FILTERS.format(word=word))
            started[word] = (gateway_module(config), address)
        yield started, sink


@pytest.fixture(scope="module")
def theirs():
    path = proc.build_dir() / "bin/dkim_theirs"
    if not path.exists():
        pytest.skip(f"{path} is not built")
    engine = differential.Engine(path)
    yield engine
    assert engine.close() == 0


def mail(body="Hello  Ann \r\n"):
    return ("From: Joe <joe@good.example>\r\nTo: ann@victim.example\r\nSubject: hello\r\n"
            "Date: Sun, 22 Nov 2026 03:00:00 +0000\r\nMessage-ID: <1@good.example>\r\n"
            f"\r\n{body}").encode()


def send(address, sender, message=mail()):
    with smtp.Client(address, source=CLIENT, timeout=40) as client:
        return client.mail(sender, ["ann@victim.example"], message).last


def workers(gate, name="engine-worker"):
    """The names in ps are cut at 15 bytes."""
    return [pid for pid, kind in gate.processes().items() if kind == name[:15]]


def test_no_process_where_nothing_asks(gateway, zones):
    gate = gateway(RULES.format(gate=PLAIN, server=SERVER, filters=""))
    assert not workers(gate) and not workers(gate, "postern-engine")


@pytest.mark.parametrize("word", ["engine", "compare"])
def test_spf(gates, word):
    gate, address = gates[0][word]
    assert workers(gate)
    assert send(address, "joe@good.example").code == 250
    assert send(address, "joe@bad.example").code == 550
    assert send(address, "joe@nothing.example").code == 250
    assert not gate.events("compare")


@pytest.mark.parametrize("word", ["engine", "compare"])
def test_explanation_of_127_macros(gates, word):
    """It kills the library where it is let to compile it; here the fail is a fail, and no more."""
    gate, address = gates[0][word]
    before = workers(gate)
    for _ in range(3):
        assert send(address, "joe@evil.example").code == 550
    assert workers(gate) == before
    assert not gate.events("child-exit")
    assert send(address, "joe@good.example").code == 250


def test_spf_differs(gates):
    """A CIDR length of 0 is a syntax error to libspf2: what decides says so."""
    assert send(gates[0]["engine"][1], "joe@differs.example").code == 550
    gate, address = gates[0]["compare"]
    assert send(address, "joe@differs.example").code == 250
    event = gate.wait_event("compare", fact="spf")
    assert (event["about"], event["ours"], event["theirs"]) == (
        "differs.example", "pass", "permerror")
    assert gate.events("mail", mail=event["mail"])
    assert len(gate.events("compare", fact="spf")) == 1


@pytest.mark.parametrize("body", ["Hello  Ann \r\n", "x" * 70 + "\r\n", "many lines\r\n" * 100_000],
                         ids=["small", "line", "large"])
def test_dkim(gates, theirs, key, body):
    """Inline and, past what a message holds, as the session's file."""
    message = mail(body)
    message = theirs.sign(key, message, domain="good.example") + message
    for gate, address in gates[0].values():
        assert send(address, "joe@good.example", message).code == 250
        assert send(address, "joe@good.example",
                    message.replace(b"Subject: hello", b"Subject: other")).code == 550
        assert not gate.events("compare", fact="dkim")
    got = gates[1].mails[-1].message
    assert got.endswith(message) and b"dkim=pass header.d=good.example" in got


def test_dkim_differs(gates, theirs, key):
    """A bare RSAPublicKey in p= is one to us and none to libopendkim."""
    class Bare:
        pem, selector = key.pem, "bare"
    message = mail()
    message = theirs.sign(Bare, message, domain="good.example") + message
    assert send(gates[0]["engine"][1], "joe@good.example", message).code == 550
    gate, address = gates[0]["compare"]
    assert send(address, "joe@good.example", message).code == 250
    event = gate.wait_event("compare", fact="dkim")
    assert (event["about"], event["ours"], event["theirs"]) == (
        "good.example", "pass", "permerror")


def stopped_then_killed(gate, address, pids, sender):
    """One mail whose run is with processes that are stopped, and then killed: its reply."""
    said = []
    for pid in pids:
        gate.kill(pid, signal.SIGSTOP)
    thread = threading.Thread(target=lambda: said.append(send(address, sender)))
    thread.start()
    thread.join(1.0)
    assert not said, said
    for pid in pids:
        gate.kill(pid)
    thread.join(40)
    return said[0]


def test_worker_killed(gates):
    """Temperror for the mail in hand, an event, another worker, and the next mail passes."""
    gate, address = gates[0]["engine"]
    before = workers(gate)
    reply = stopped_then_killed(gate, address, before, "joe@good.example")
    assert reply.code == 451, reply
    # The reply is for the end of the busy one; the other's may be noticed after it.
    killed = {"kind": "engine-worker", "status": "killed by SIGKILL"}
    proc.wait_until(lambda: len(gate.events("child-exit", **killed)) == len(before),
                    "the end of every worker in the log")
    events = gate.events("child-exit", **killed)
    assert len([e for e in events if e["busy"] == "yes"]) == 1
    assert send(address, "joe@good.example").code == 250
    assert set(workers(gate)).isdisjoint(before)


def test_worker_killed_while_ours_decides(gates):
    """With compare nobody but the log hears of it."""
    gate, address = gates[0]["compare"]
    before, told = workers(gate), len(gate.events("compare"))
    reply = stopped_then_killed(gate, address, before, "joe@good.example")
    assert reply.code == 250, reply
    assert gate.events("child-exit", kind="engine-worker", busy="yes")
    assert len(gate.events("compare")) == told


def test_process_killed(gates):
    """The whole process: the same, and the parent starts it again."""
    gate, address = gates[0]["engine"]
    pids = workers(gate, "postern-engine")
    assert len(pids) == 1
    assert stopped_then_killed(gate, address, pids, "joe@good.example").code == 451
    gate.wait_event("child-exit", kind="engine", status="killed by SIGKILL")
    proc.wait_until(lambda: send(address, "joe@good.example").code == 250,
                    "a mail after the engine was started again", 20.0, 0.3)

"""`quarantine` in a milter: the MTA keeps the mail in its own queue, and a person lets it go.

Real Postfix and Sendmail, each front: what is kept is not delivered, its queue says why, and when
it is released it arrives with the edits of the rules above the one that kept it.
"""
import json
import os
import re
import time

import pytest

from lab import milter, milter_client, postern, proc, smtp

ADDRESS = {"postfix": "198.51.100.31", "sendmail": "198.51.100.32"}
SINK, OUTSIDE, INSIDE = "198.51.100.33", "192.0.2.70", "192.0.2.81"
CONFIG = """\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
listen milter on "{listen}" outbound from {{ 192.0.2.80/28 }}{front}
domain "ours.example"
sign "ours.example" selector "e" key "e.pem"
inbound {{
    remove header "X-Secret"
    tag "X-Checked: yes"
    copy to "archive@ours.example" if subject contains "copied"
    quarantine "forged" if subject contains "keep-it"
    quarantine if subject contains "nameless"
    accept
}}
outbound {{
    sign
    quarantine "compliance" if subject contains "keep-it"
    accept
}}
"""
KEEPS_LINE = 10  # of CONFIG


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "e.pem"
    proc.run(postern.binary("postern"), "dkim", "keygen", "ours.example", "e", "ed25519", path,
             env={**os.environ, **postern.sanitizer_environment()})
    return path


@pytest.fixture(scope="module", params=milter.FRONTS, ids=milter.FRONT_NAMES)
def gate(request, gateway_module, nsd, key):
    nsd.set({"sender.example": "@ MX 10 mail\nmail A 192.0.2.70\n"})
    nsd.restart()
    one = gateway_module(CONFIG.format(listen=milter.LISTEN, front=request.param), {"e.pem": key})
    yield one
    one.stop()  # the next front needs the port


@pytest.fixture(scope="module")
def sink():
    with smtp.Server(SINK) as one:
        yield one


class Keeper:
    """The queue of an MTA, as its postmaster sees it: reasons by queue ID, and how to let go."""

    def __init__(self, mta):
        self.mta, self.peer = mta, mta.peer

    def kept(self):
        """{queue ID: reason}; Postfix has no place for a reason."""
        if self.mta.kind == "postfix":
            return {m["queue_id"]: None for m in map(json.loads, self.peer.queue())
                    if m["queue_name"] == "hold"}
        said = self._sendmail("-bp", "-qQ")
        return dict(re.findall(r"(?m)^(\w{14})\?? .*\n\s+QUARANTINE: (.*)$", said))

    def release(self, name, requeued=False):
        """requeued: by postsuper -r, which makes a new queue file; else by -H."""
        if self.mta.kind == "postfix":
            self.peer.root.run("postsuper", "-c", self.peer.config, "-r" if requeued else "-H",
                               name)
        else:
            self._sendmail("-qQ", "-Q", f"-qI{name}")

    def _sendmail(self, *words):
        return self.peer.root.run("/usr/libexec/sendmail/sendmail", *words).stdout


@pytest.fixture(scope="module", params=milter.MTAS)
def keeper(request, gate, sink):
    with milter.Mta(request.param, ADDRESS[request.param], SINK, name="keeps") as one:
        yield Keeper(one)


def send(keeper, subject, source=OUTSIDE, sender="joe@sender.example", to="r@ours.example"):
    mail = smtp.message(subject, sender, to, "Hello.\r\n", x_secret="1")
    with smtp.Client(keeper.mta.address, source=source) as client:
        said = client.mail(sender, [to], mail)
        client.command("QUIT")
    assert said.last.code == 250, f"{said}\n{keeper.peer.log()[-2000:]}"
    return re.search(rb"(?im)^message-id: (<.*>)", mail)[1].decode()


def kept(keeper, gate, sink, message_id, before):
    """The queue ID of the mail, which is kept and has not gone on; its event in the log."""
    event = gate.wait_event("mail", **{"message-id": message_id})
    assert (event["decision"], event["kept-by"]) == ("quarantine", "mta")
    proc.wait_until(lambda: event["queue"] in keeper.kept(), f"{event['queue']} in {keeper.kept()}")
    time.sleep(3)  # more than one run of either queue
    assert len(sink.mails) == before and event["queue"] in keeper.kept()
    return event


@pytest.mark.parametrize("requeued", [True, False])
def test_kept_and_released(keeper, gate, sink, requeued):
    before = len(sink.mails)
    event = kept(keeper, gate, sink, send(keeper, "keep-it, copied"), before)
    assert int(event["line"]) == KEEPS_LINE
    assert gate.events("decision", line=event["line"])[-1]["kept-by"] == "mta"
    if keeper.mta.kind == "postfix":
        assert "milter triggers HOLD action" in keeper.peer.log(), keeper.peer.log()[-3000:]
    else:
        file = event["file"].rpartition("/")[2]
        assert keeper.kept()[event["queue"]] == f"forged: {file}:{KEEPS_LINE}"
    keeper.release(event["queue"], requeued)
    proc.wait_until(lambda: {r for m in sink.mails[before:] for r in m.recipients} == {
        "r@ours.example", "archive@ours.example"}, f"both at the sink: {sink.mails[before:]}", 20)
    for got in sink.mails[before:]:
        assert b"X-Checked: yes\r\n" in got.message and b"X-Secret" not in got.message.title()
        assert b"Authentication-Results: mx.ours.example;" in got.message
    assert event["queue"] not in keeper.kept()


def test_without_a_name(keeper, gate, sink):
    event = kept(keeper, gate, sink, send(keeper, "nameless"), len(sink.mails))
    assert keeper.kept()[event["queue"]] in (
        None, f"quarantine: {event['file'].rpartition('/')[2]}:{KEEPS_LINE + 1}")


def test_outbound_is_kept_signed(keeper, gate, sink):
    before = len(sink.mails)
    event = kept(keeper, gate, sink,
                 send(keeper, "keep-it", INSIDE, "ann@ours.example", "x@sender.example"), before)
    assert event["direction"] == "outbound"
    keeper.release(event["queue"])
    proc.wait_until(lambda: len(sink.mails) > before, "the mail at the sink", 20)
    assert b"DKIM-Signature: v=1; a=ed25519-sha256; " in sink.mails[before].message.replace(
        b"\r\n\t", b" ").replace(b"\r\n ", b" ")


def test_other_mail_goes_on(keeper, gate, sink):
    before = len(sink.mails)
    message_id = send(keeper, "hello")
    proc.wait_until(lambda: len(sink.mails) > before, "the mail at the sink", 15)
    assert gate.wait_event("mail", **{"message-id": message_id})["decision"] == "accept"


def test_an_mta_that_keeps_nothing(gate):
    """Without the action that mail is put off with a warning, and all other is judged as ever."""
    with milter_client.Mta("127.0.0.1", milter.PORT) as mta:
        agreed = mta.negotiate(actions=0x1ff & ~milter_client.QUARANTINE)
        assert agreed and not agreed.actions & milter_client.QUARANTINE
        mta.connect("mail.sender.example", OUTSIDE)
        mta.helo("mail.sender.example")
        said = mta.mail("joe@sender.example", ["r@ours.example"], smtp.message("keep-it"))
        assert said.last.code == 451 and not said.edits, said
        said = mta.mail("joe@sender.example", ["r@ours.example"], smtp.message("hello"))
        assert said.last.code == 250, said
    assert "QUARANTINE" in gate.wait_event("warning")["text"]
    with milter_client.Mta("127.0.0.1", milter.PORT) as mta:
        assert mta.negotiate().actions & milter_client.QUARANTINE

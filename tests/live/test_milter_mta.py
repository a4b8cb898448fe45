"""The milter inside a real Postfix and a real Sendmail: what clients are told, and what leaves.

Each test runs for both MTAs and for each front of the milter. What the MTAs themselves do to
replies and header fields is in gateway/milter/README.md, measured; here it is only spelled out
where Sendmail names the address in a reply (lab.milter).
"""
import base64
import hashlib
import os
import pathlib
import re
import sys

import dkim
import pytest

from lab import milter, postern, proc, smtp

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "suites"))
import dkim_differential as differential  # noqa: E402

ADDRESS = {"postfix": "198.51.100.21", "sendmail": "198.51.100.22"}
SINK, OUTSIDE, INSIDE = "198.51.100.23", "192.0.2.70", "192.0.2.81"
EICAR = (r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR" r"-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*").encode()
LONG = "why " * 96 + "end"  # with its codes nearly the 400 bytes that a reply may have
CONFIG = """\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
listen milter on "{listen}" outbound from {{ 192.0.2.80/28, {local} }} outbound authenticated{front}
domain "ours.example"
sign "ours.example" selector "e" key "e.pem"
sign "ours.example" selector "r" key "r.pem"
filter virus {{ database "signatures" }}
pattern word /nobody(writes)*this/
inbound {{
    reject with "550 5.7.1 100% refused, %s %d and 50%% more" if recipient is "percent@ours.example"
    reject with "553 5.1.8 {long}" if recipient is "long@ours.example"
    defer with "450 4.2.1 not today" if recipient is "later@ours.example"
    reject with "550 5.7.27 this sender is not liked" if sender is "bad@sender.example"
    reject with "554 5.7.2 never together" if recipients is "x@{ours}" and recipients is "y@{ours}"
    reject with "552 5.2.3 the header says no" if subject contains "header-reject"
    defer with "451 4.7.1 the header says later: 5%" if subject contains "header-defer"
    reject with "554 5.7.1 virus: no" if virus
    reject with "550 5.7.1 a word" if body contains word
    discard if subject contains "drop-it"
    redirect to "new@ours.example" if subject contains "redirect-it"
    copy to "archive@ours.example" if subject contains "copy-it"
    tag "X-Postern-Dkim: pass" if dkim is pass
    tag "X-Helo: other" if helo is "other.example"
    tag "X-Spam-Flag: YES" if subject contains "tag-it"
    remove header "X-Secret"
    accept
}}
outbound {{
    reject with "550 5.7.1 not out" if subject contains "header-reject"
    tag "X-Out: yes"
    sign
    accept
}}
"""


def tool(*words):
    return proc.run(postern.binary("postern"), *words,
                    env={**os.environ, **postern.sanitizer_environment()})


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """{selector: (private key's file, DNS text)} of our own, and a foreign signer's."""
    home = tmp_path_factory.mktemp("keys")
    found = {}
    for selector, kind in (("e", "ed25519"), ("r", "rsa2048")):
        said = tool("dkim", "keygen", "ours.example", selector, kind, home / f"{selector}.pem")
        text = "".join(re.findall(r'"([^"]*)"', said.stdout.splitlines()[0]))
        found[selector] = (home / f"{selector}.pem", text)
    return found


@pytest.fixture(scope="module")
def foreign():
    return differential.Key("rsa", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")


@pytest.fixture(scope="module", params=milter.FRONTS, ids=milter.FRONT_NAMES)
def gate(request, gateway_module, nsd, keys, foreign):
    text = f"v=DKIM1; k=rsa; p={foreign.public}"
    parts = " ".join(f'"{text[i:i + 200]}"' for i in range(0, len(text), 200))
    nsd.set({"sender.example": "@ MX 10 mail\nmail A 192.0.2.70\n"
                               '@ TXT "v=spf1 ip4:192.0.2.64/26 -all"\n'
                               f"rsa._domainkey TXT {parts}\n"})
    nsd.restart()
    one = gateway_module(
        CONFIG.format(listen=milter.LISTEN, front=request.param, long=LONG,
                      local="127.0.0.0/8", ours="ours.example"),
        {"e.pem": keys["e"][0], "r.pem": keys["r"][0],
         "signatures/main.hdb": "44d88612fea8a8f36de82e1278abb02f:68:Eicar-Test\n"})
    yield one
    one.stop()  # the next front needs the port


@pytest.fixture(scope="module")
def sink():
    with smtp.Server(SINK) as one:
        yield one


@pytest.fixture(scope="module", params=milter.MTAS)
def mta(request, gate, sink):
    with milter.Mta(request.param, ADDRESS[request.param], SINK) as one:
        yield one


def message(subject="milter", body="Hello.\r\n", head="", sender="joe@sender.example"):
    return smtp.message(subject, sender, "r@ours.example", body).replace(
        b"\r\n\r\n", f"\r\n{head}\r\n".encode("utf-8", "surrogateescape"), 1)


def send(mta, mail, recipients=("r@ours.example",), sender="joe@sender.example",
         source=OUTSIDE):
    with smtp.Client(mta.address, source=source) as client:
        said = client.mail(sender, list(recipients), mail)
        client.command("QUIT")
    return said


def arrived(sink, mta, said, before):
    """The one mail that reached the sink since then; the client must have been told 250."""
    assert said.last.code == 250, f"{said}\n{mta.peer.log()[-2000:]}"
    proc.wait_until(lambda: len(sink.mails) > before, "a mail at the sink", 15)
    assert len(sink.mails) == before + 1, sink.mails[before:]
    return sink.mails[before]


def passes(mta, sink, mail, **more):
    before = len(sink.mails)
    return arrived(sink, mta, send(mta, mail, **more), before)


def fields(mail):
    """The header of what arrived as (name, value as it is), the MTA's own Received left out."""
    found = []
    for line in mail.message.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        if line[:1] in b" \t" and found:
            found[-1][1] += b"\r\n" + line
        else:
            name, _, value = line.partition(b":")
            found.append([name, value])
    ours = [f for f in found if f[0] == b"Received" and b".lab.example" in f[1]]
    assert len(ours) == 1, found
    return [tuple(f) for f in found if f is not ours[0]]


def values(mail, name):
    return [v.strip() for n, v in fields(mail) if n.lower() == name.lower()]


def event_of(gate, mail):
    """What the gateway logged of a mail, which may be there only after the client was answered."""
    text = mail if isinstance(mail, bytes) else mail.message
    name = re.search(rb"(?im)^message-id: (<.*>)", text)[1].decode()
    return gate.wait_event("mail", **{"message-id": name})


# --- replies, word for word, at each stage

def test_at_rcpt_one_by_one(mta, gate, sink):
    """Each recipient has its own answer; the mail goes to the others."""
    before = len(sink.mails)
    said = send(mta, message(), ["a@ours.example", "percent@ours.example", "later@ours.example",
                                 "b@ours.example"])
    assert [r.code for r in said.recipients] == [250, 550, 450, 250]
    gate.wait_event("reject", recipient="percent@ours.example")
    assert str(said.recipients[1]) == mta.reply(
        "550 5.7.1 100% refused, %s %d and 50%% more", "percent@ours.example")
    assert str(said.recipients[2]) == mta.reply("450 4.2.1 not today", "later@ours.example")
    mail = arrived(sink, mta, said, before)
    assert sorted(mail.recipients) == ["a@ours.example", "b@ours.example"]
    assert gate.events("reject", recipient="percent@ours.example")[-1]["sender"] == (
        "joe@sender.example")
    assert gate.events("defer", recipient="later@ours.example")


def test_all_recipients_refused(mta, sink):
    before = len(sink.mails)
    said = send(mta, message(), ["percent@ours.example", "later@ours.example"])
    assert [r.code for r in said.recipients] == [550, 450] and said.data is None
    assert len(sink.mails) == before


def test_long_reply(mta):
    """The longest that a rule can give comes in one piece (MLT-03)."""
    assert str(send(mta, message(), ["long@ours.example"]).recipients[0]) == mta.reply(
        f"553 5.1.8 {LONG}", "long@ours.example")


def test_refused_sender_is_told_at_rcpt(mta):
    said = send(mta, message(), sender="bad@sender.example")
    assert said.sender.code == 250
    assert str(said.last) == mta.reply("550 5.7.27 this sender is not liked", "r@ours.example")


def test_at_data(mta, sink):
    """What only all recipients together tell is told before the mail is sent."""
    said = send(mta, message(), ["x@ours.example", "y@ours.example"])
    assert str(said.data) == "554 5.7.2 never together" and said.dot is None
    passes(mta, sink, message(), recipients=["x@ours.example", "z@ours.example"])


@pytest.mark.parametrize("mail, reply", [
    (message("header-reject"), "552 5.2.3 the header says no"),
    (message("header-defer"), "451 4.7.1 the header says later: 5%"),
    (message(body="x\r\nnobodywritesthis\r\n"), "550 5.7.1 a word"),
    (message(head="MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
                  "Content-Transfer-Encoding: base64\r\n",
             body=base64.b64encode(EICAR).decode() + "\r\n"), "554 5.7.1 virus: no"),
], ids=["subject", "defer", "body", "eicar"])
def test_at_the_end(mta, gate, sink, mail, reply):
    assert hashlib.md5(EICAR).hexdigest() == "44d88612fea8a8f36de82e1278abb02f"
    before = len(sink.mails)
    said = send(mta, mail)
    assert str(said.dot) == reply
    event = event_of(gate, mail)
    assert (event["decision"], event["reply"]) == (
        "defer" if reply.startswith("4") else "reject", reply)
    assert len(sink.mails) == before and not event.get("hop")


# --- what becomes of the mail

def test_log_has_the_name_that_the_mta_gave(mta, gate, sink):
    mail, before = message("queue id"), len(sink.mails)
    said = send(mta, mail)
    arrived(sink, mta, said, before)
    assert event_of(gate, mail)["queue"] in str(said.dot)


def test_clean_mail_keeps_its_bytes(mta, gate, sink):
    """Nothing but the field of ours on top."""
    mail = message(head="X-Odd:  two  blanks \r\nX-Fold: a\r\n\tb\r\n  c\r\nx-none:no blank\r\n"
                        "X-Empty:\r\nX-8bit: caf\udcc3\udca9 \udcff\r\n",
                   body=".dot\r\n\r\n" + "0123456789abcdef\r\n" * 9000)
    got = passes(mta, sink, mail)
    head, _, body = mail.partition(b"\r\n\r\n")
    top, *rest = fields(got)
    assert top[0] == b"Authentication-Results" and top[1].startswith(b" mx.ours.example;")
    assert got.message.startswith(b"Authentication-Results:")
    assert b"\r\n".join(n + b":" + v for n, v in rest) == head
    assert got.message.partition(b"\r\n\r\n")[2] == body
    event = event_of(gate, got)
    assert (event["decision"], event["direction"], event["client"]) == (
        "accept", "inbound", OUTSIDE)


def test_discard(mta, gate, sink):
    before = len(sink.mails)
    mail = message("drop-it")
    assert send(mta, mail).dot.code == 250
    assert event_of(gate, mail)["decision"] == "discard"
    passes(mta, sink, message("after it"))
    assert len(sink.mails) == before + 1


def test_tag_takes_the_place_of_what_came(mta, sink):
    head = "x-spam-flag: no\r\nX-Spam-Flag: NO\r\nX-Spam-Flags: other\r\nX-SPAM-FLAG:\r\n\tno\r\n"
    got = passes(mta, sink, message("tag-it", head=head))
    assert [v.strip() for v in values(got, b"X-Spam-Flag")] == [b"YES"]
    assert values(got, b"X-Spam-Flags") == [b"other"]
    names = [n for n, _ in fields(got)]
    assert names.index(b"X-Spam-Flag") < names.index(b"From")
    got = passes(mta, sink, message("no", head=head))
    assert values(got, b"X-Spam-Flag") == [b"no", b"NO", b"no"]


@pytest.mark.parametrize("secrets", [[0], [8], [0, 1, 2], [6, 7, 8], [0, 3, 5, 8], range(9)],
                         ids=str)
def test_remove_header_anywhere(mta, sink, secrets):
    """Deletions hit their field wherever it stands among others of other names (MLT-05)."""
    lines = [f"{'x-secret' if i % 2 else 'X-Secret'}: {i}" if i in secrets else f"X-Stays: {i}"
             for i in range(9)]
    mail = ("\r\n".join(lines[:5] + ["From: <joe@sender.example>", "Subject: remove",
                                     "Date: Sun, 22 Nov 2026 12:00:00 +0000",
                                     "Message-ID: <remove@sender.example>"] + lines[5:])
            + "\r\n\r\nX-Secret: in the body\r\n").encode()
    got = passes(mta, sink, mail)
    assert values(got, b"X-Secret") == []
    assert values(got, b"X-Stays") == [str(i).encode() for i in range(9) if i not in secrets]
    assert got.message.endswith(b"\r\n\r\nX-Secret: in the body\r\n")


@pytest.mark.parametrize("places", [[0], [1], [2], [3], [0, 1], [1, 2], [0, 3], [0, 1, 2, 3]],
                         ids=str)
def test_forged_results_are_removed(mta, sink, places):
    """Among true ones of others, at any place, in any writing: ours go and theirs stay."""
    forged = ["Authentication-Results: mx.ours.example; dkim=pass header.d=bank.example",
              "authentication-results: MX.Ours.Example 1; spf=pass",
              "Authentication-Results:\r\n\tmx.ours.example (so it says); dmarc=pass",
              "AUTHENTICATION-RESULTS: (a comment) mx.ours.example; none"]
    head = ""
    for i in range(4):
        head += f"Authentication-Results: other{i}.example; spf=fail smtp.mailfrom=a{i}\r\n"
        if i in places:
            head += forged[i] + "\r\n"
    got = passes(mta, sink, message("forged", head=head))
    found = values(got, b"Authentication-Results")
    assert found[0].startswith(b"mx.ours.example;") and b"bank.example" not in found[0]
    assert [v.partition(b";")[0] for v in found[1:]] == [
        f"other{i}.example".encode() for i in range(4)]
    assert got.message.startswith(b"Authentication-Results: mx.ours.example;")


def test_redirect_and_copy(mta, sink):
    got = passes(mta, sink, message("redirect-it"), recipients=["a@ours.example", "B@ours.example"])
    assert got.recipients == ["new@ours.example"]
    got = passes(mta, sink, message("copy-it"), recipients=["a@ours.example", "b@ours.example"])
    assert sorted(got.recipients) == ["a@ours.example", "archive@ours.example", "b@ours.example"]
    got = passes(mta, sink, message("neither"))
    assert got.recipients == ["r@ours.example"]


def test_several_mails_in_one_session(mta, gate, sink):
    """Nothing of one mail reaches the next: edits, refusals, recipients, an RSET in between."""
    before = len(sink.mails)
    with smtp.Client(mta.address, source=OUTSIDE) as client:
        def mail(*words, **more):
            return client.mail("joe@sender.example", more.get("to", ["r@ours.example"]),
                               message(*words), helo=more.get("helo"))
        assert mail("tag-it", helo="client.example").dot.code == 250
        assert mail("header-reject").dot.code == 552
        assert mail("plain").dot.code == 250
        client.command("MAIL FROM:<bad@sender.example>")
        assert client.command("RCPT TO:<r@ours.example>").code == 550
        client.command("RSET")
        client.command("MAIL FROM:<joe@sender.example>")
        assert client.command("RCPT TO:<x@ours.example>").code == 250
        client.command("RSET")
        # x of the mail that was given up is not y's companion.
        assert mail("y alone", to=["y@ours.example"]).dot.code == 250
        assert mail("drop-it").dot.code == 250
        assert mail("header-defer").dot.code == 451
        assert mail("new hello", helo="other.example").dot.code == 250
        client.command("QUIT")
    proc.wait_until(lambda: len(sink.mails) >= before + 4, "four mails", 15)
    got = {values(m, b"Subject")[0]: m for m in sink.mails[before:]}
    assert set(got) == {b"tag-it", b"plain", b"y alone", b"new hello"}
    assert len(sink.mails) == before + 4
    assert {s: values(m, b"X-Spam-Flag") for s, m in got.items()} == {
        b"tag-it": [b"YES"], b"plain": [], b"y alone": [], b"new hello": []}
    assert got[b"y alone"].recipients == ["y@ours.example"]
    assert {s: len(values(m, b"X-Helo")) for s, m in got.items()} == {
        b"tag-it": 0, b"plain": 0, b"y alone": 0, b"new hello": 1}


def test_client_that_goes_away(mta, gate, sink):
    """In the middle of the data: nothing is delivered, and the next client is served."""
    before = len(sink.mails)
    with smtp.Client(mta.address, source=OUTSIDE) as client:
        for line in ("EHLO x", "MAIL FROM:<joe@sender.example>", "RCPT TO:<r@ours.example>",
                     "DATA"):
            client.command(line)
        client.send(message("half")[:-4])
        client.reset()
    passes(mta, sink, message("after"))
    assert len(sink.mails) == before + 1


@pytest.mark.parametrize("length", [0, 1, 65534, 65535, 65536, 300_000])
def test_bodies_of_every_length(mta, sink, length):
    """One byte more or less than a packet: nothing is lost between the pieces."""
    body = ("".join(chr(97 + i % 26) for i in range(70)) + "\r\n") * (length // 72 + 1)
    body = body[:length]
    body = body if body.endswith("\r\n") or not body else body.rstrip("\r\n") + "\r\n"
    got = passes(mta, sink, message(body=body))
    assert got.message.partition(b"\r\n\r\n")[2] == body.encode()


# --- DKIM

def verified(mail, keys):
    """Results of python3-dkim for each signature that the mail bears, as it left the MTA."""
    verifier = dkim.DKIM(mail.message)
    texts = {f"{s}._domainkey.ours.example.": text for s, (_, text) in keys.items()}

    def lookup(name, timeout=5):
        name = name.decode() if isinstance(name, bytes) else name
        return texts[name if name.endswith(".") else name + "."].encode()
    count = len(values(mail, b"DKIM-Signature"))
    return [verifier.verify(i, dnsfunc=lookup) for i in range(count)]


@pytest.mark.parametrize("head", [
    "", "Cc: <a@dest.example>,\r\n\t<b@dest.example>\r\n",
    "X-Odd:  blanks \r\nReply-To:ann@ours.example\r\nX-8bit: caf\udcc3\udca9\r\n"],
    ids=["plain", "folded", "odd"])
def test_signs_what_the_mta_sends(mta, gate, sink, keys, head):
    """By network: both keys verify over the mail as it really left, the tag included."""
    got = passes(mta, sink, message("out", head=head, sender="ann@ours.example"),
                 sender="ann@ours.example", recipients=["z@dest.example"], source=INSIDE)
    assert verified(got, keys) == [True, True]
    assert values(got, b"X-Out") == [b"yes"]
    assert event_of(gate, got)["direction"] == "outbound"
    assert not values(got, b"Authentication-Results")
    got.data = got.data.replace(b"Subject: out", b"Subject: outer")
    assert verified(got, keys) == [False, False]


@pytest.mark.parametrize("lacks", ["Date", "Message-ID", "To"])
def test_signs_where_the_mta_completes(mta, sink, keys, lacks):
    """A submission without Date or Message-ID: what the MTA adds afterwards breaks nothing."""
    mail = re.sub(rf"^{lacks}: .*\r\n".encode(), b"", message(sender="ann@ours.example"),
                  flags=re.MULTILINE)
    assert lacks.encode() not in mail
    got = passes(mta, sink, mail, sender="ann@ours.example", recipients=["z@dest.example"],
                 source=INSIDE)
    # Sendmail completes the mail itself; twice would be once too often (RFC 5322 3.6).
    assert len(values(got, lacks.encode())) == (mta.kind == "sendmail" and lacks != "To")
    assert verified(got, keys) == [True, True], got.message


def test_authenticated_is_outbound(mta, gate, sink, keys):
    """Who has logged in at the MTA, from anywhere; the same client without that is inbound."""
    mail = message("auth", sender="ann@ours.example")
    before = len(sink.mails)
    with smtp.Client(mta.address, source=OUTSIDE) as client:
        client.command("EHLO x")
        assert client.command("AUTH PLAIN " + base64.b64encode(b"\0ann\0secret").decode()
                              ).code == 235
        said = client.mail("ann@ours.example", ["z@dest.example"], mail)
        client.command("QUIT")
    got = arrived(sink, mta, said, before)
    assert verified(got, keys) == [True, True]
    event = event_of(gate, got)
    assert event["direction"] == "outbound" and event["user"].partition("@")[0] == "ann"
    got = passes(mta, sink, mail, sender="ann@ours.example")
    assert not values(got, b"DKIM-Signature") and not values(got, b"X-Out")


@pytest.mark.parametrize("header", ["simple", "relaxed"])
def test_verifies_what_came(mta, sink, foreign, header):
    """The header is put together again byte for byte: a simple signature over odd fields holds."""
    theirs = proc.build_dir() / "bin/dkim_theirs"
    engine = differential.Engine(theirs)
    mail = message("signed", head="X-Odd:  two \r\nX-Fold: a\r\n\tb\r\n  c\r\nX-None:v\r\n"
                                  "X-Tab:\tv\r\nX-8bit: \udcc3\udca9\r\n")
    mail = engine.sign(foreign, mail, header=header, body="simple",
                       domain="sender.example") + mail
    assert engine.close() == 0
    assert values(passes(mta, sink, mail), b"X-Postern-Dkim") == [b"pass"]
    broken = mail.replace(b"X-None:v", b"X-None: v")
    got = values(passes(mta, sink, broken), b"X-Postern-Dkim")
    assert got == ([] if header == "simple" else [b"pass"])


# --- local mail

def test_local_mail(mta, gate, sink, keys):
    """sendmail(1): from 127.0.0.1 and so outbound at Postfix; Sendmail asks no milter for it."""
    if mta.kind == "sendmail":
        before = len(gate.events("mail"))
        mta.peer.root.run("/usr/libexec/sendmail/sendmail", "-Am", "-i", "-f",
                          "ann@ours.example", "--", "z@dest.example", input=b"Subject: x\n\nx\n")
        assert len(gate.events("mail")) == before
        return
    before = len(sink.mails)
    mta.peer.send("ann@ours.example", ["z@dest.example"], message(sender="ann@ours.example"))
    proc.wait_until(lambda: len(sink.mails) > before, "the local mail", 15)
    assert verified(sink.mails[-1], keys) == [True, True]
    event = event_of(gate, sink.mails[-1])
    assert (event["direction"], event["client"]) == ("outbound", "127.0.0.1")


def test_local_mail_that_is_refused(mta, sink):
    """Postfix has said yes to the program already: it bounces to the sender, who is ours."""
    if mta.kind == "sendmail":
        return
    before = len(sink.mails)
    mta.peer.send("ann@ours.example", ["z@dest.example"], message("header-reject"))
    proc.wait_until(lambda: len(sink.mails) > before, "the bounce", 15)
    bounce = sink.mails[before]
    assert (bounce.sender, bounce.recipients) == ("", ["ann@ours.example"])
    assert b"not out" in bounce.message and b"5.7.1" in bounce.message


# --- other ways to speak to us (Postfix, whose settings say which)

AUTH = "AUTH PLAIN " + base64.b64encode(b"\0ann\0secret").decode()


@pytest.fixture
def other(gate, sink):
    """other(settings): one more Postfix, with a protocol or macros of its own."""
    made = []

    def start(**main):
        one = milter.Mta("postfix", "198.51.100.24", SINK, main=main, name="older")
        made.append(one)
        return one.start()
    yield start
    for one in made:
        one.stop()


@pytest.mark.parametrize("version", [2, 3, 4, 6])
def test_older_protocols(other, sink, keys, version):
    """Less is told and asked with each step back; verdicts and edits stay (MLT-01)."""
    mta = other(milter_protocol=str(version))
    head = "X-Secret: a\r\nX-Fold: a\r\n\tb\r\nX-Secret: b\r\n"
    got = passes(mta, sink, message("tag-it", head=head))
    assert (values(got, b"X-Secret"), values(got, b"X-Spam-Flag")) == ([], [b"YES"])
    assert values(got, b"X-Fold") == [b"a\r\n\tb"] and b"X-Spam-Flag: YES\r\n" in got.message
    assert send(mta, message(), ["percent@ours.example"]).last.code == 550
    assert send(mta, message("header-reject")).dot.code == 552
    said = send(mta, message(), ["x@ours.example", "y@ours.example"]).last
    assert said.code == 554 and "never together" in str(said)
    got = passes(mta, sink, message("out", sender="ann@ours.example"), sender="ann@ours.example",
                 recipients=["z@dest.example"], source=INSIDE)
    assert verified(got, keys) == [True, True]


def authenticated(mta, sink, mail):
    before = len(sink.mails)
    with smtp.Client(mta.address, source=OUTSIDE) as client:
        client.command("EHLO x")
        assert client.command(AUTH).code == 235
        said = client.mail("ann@ours.example", ["r@ours.example"], mail)
        client.command("QUIT")
    return arrived(sink, mta, said, before)


@pytest.mark.parametrize("version", [2, 6])
def test_macros_that_the_mta_was_told_to_leave_out(other, gate, sink, version):
    """We name the macros that we need, and Postfix sends those even under version 2."""
    none = {f"milter_{stage}_macros": "" for stage in
            ("connect", "helo", "mail", "rcpt", "data", "end_of_header", "end_of_data")}
    mta = other(milter_protocol=str(version), **none)
    mail = message("macros", sender="ann@ours.example")
    got = authenticated(mta, sink, mail)
    event = event_of(gate, mail)
    assert (event["direction"], event["user"]) == ("outbound", "ann@ours.example")
    assert event["queue"] and len(values(got, b"DKIM-Signature")) == 2
    # Of one who has not logged in the macro is missing: not known, and nothing else.
    mail = message("no macro", sender="ann@ours.example")
    passes(mta, sink, mail, sender="ann@ours.example")
    event = event_of(gate, mail)
    assert event["direction"] == "inbound" and "user" not in event and event["queue"]


def test_macros_that_lie(other, gate, sink):
    """What no MTA is asked for is not believed: an address or a name in a macro changes nothing."""
    mta = other(milter_macro_defaults="auth_authen=boss,client_addr=192.0.2.81,j=x,i=LIE",
                milter_mail_macros="i {client_addr} {auth_authen}",
                milter_connect_macros="j {client_addr} {auth_authen}", milter_protocol="4")
    mail = message("lies")
    passes(mta, sink, mail)
    event = event_of(gate, mail)
    assert event["client"] == OUTSIDE
    # {auth_authen} is the MTA's word for who has logged in: believed, and so logged.
    assert event.get("user", "boss") == "boss"


@pytest.mark.parametrize("kind", milter.MTAS)
def test_unix_socket(gateway, gate, sink, kind):
    """`unix:/PATH`, as an MTA on the same machine would use it."""
    path = proc.LAB / f"milter-{kind}.sock"  # seen under this name inside the MTA's root, too
    gateway(f'hostname "mx.ours.example"\nresolver "192.0.2.53:53" trust "trust.key"\n'
            f'listen milter on "unix:{path}"\ndomain "ours.example"\n'
            'inbound {\n tag "X-Unix: yes"\n accept\n}\n')
    # It is ours and our group's; whom else the administrator lets in, a group says in life.
    assert path.stat().st_mode & 0o777 == 0o660
    path.chmod(0o666)
    where = f"unix:{path}"
    name = "older" if kind == "postfix" else "milter"
    with milter.Mta(kind, "198.51.100.25", SINK, milter=where, name=name) as mta:
        assert values(passes(mta, sink, message("unix")), b"X-Unix") == [b"yes"]

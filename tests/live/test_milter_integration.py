"""The cases of milter-integration (go-milter) through Postfix and Sendmail, with Postern as milter.

Each .testcase says what a client sends and what becomes of it. What its test milter does is told by
names: CONFIG says the same in our language. What the language does not have, by design, is in
NOT_OURS by name and reason, and a test holds that list to be exactly the rest.
"""
import base64
import re

import pytest

from lab import milter, proc, smtp

ADDRESS = {"postfix": "198.51.100.51", "sendmail": "198.51.100.52"}
SINK, CLIENT = "198.51.100.53", "192.0.2.70"
CONFIG = """\
hostname "mx.ours.example"
resolver "192.0.2.53:53" trust "trust.key"
listen milter on "{listen}" header rules off{front}
domain "example.com"
inbound {{
    reject with "500 No starttls" if sender is "user1@example.com" and not tls
    reject with "502 Ok" if sender is "user1@example.com" and user is "user1@example.com"
    reject with "501 No authentication" if sender is "user1@example.com"
    reject with "555 5.0.0 custom" if sender is "custom@example.com"
    reject if sender is "reject@example.com"
    defer if sender is "temp-fail@example.com"
    reject with "555 5.0.0 custom" if recipient is "custom@example.com"
    reject if recipient in refused
    defer if recipient is "temp-fail@example.com"
    quarantine if sender is "quarantine@example.com"
    quarantine if recipients is "quarantine@example.com"
    discard if sender is "discard@example.com"
    discard if recipients is "discard@example.com" or recipients is "discard-one@example.com"
    redirect to "another@example.com" if recipients is "change@example.com"
    copy to "another@example.com" if recipients is "add@example.com"
    tag "X-First1: Test" if sender is "add-first@example.com"
    tag "X-First2: Test" if sender is "add-first@example.com"
    remove header "Subject" if sender is "del@example.com"
    accept
}}
table refused {{ "reject@example.com", "reject-one@example.com", "other-spammer@example.com" }}
"""
LINES = "a reply of several lines: a rule has one text"
PLACE = "a field at the bottom, in the middle or changed where it stands: ours are put on top"
NOT_OURS = {
    "milter/reject": LINES, "milter/multi": LINES,
    "mail-from/change": "the sender is never changed",
    "body/add": "the body is never changed",
    "header/add": PLACE, "header/add-middle": PLACE, "header/change-to": PLACE,
    "header/multi": PLACE, "header/multiline": PLACE, "header/subject": PLACE,
}
# Postern answers what it thinks of the client and the sender at RCPT, with both in the log.
LATER = {"FROM": "TO"}
HEADER = ("From: <from@example.com>\r\nTo: <to@example.com>\r\nSubject: case\r\n"
          "Date: Fri, 10 Mar 2023 23:29:35 +0000 (UTC)\r\nMessage-ID: <id@example.com>\r\n")


class Transaction:
    """Steps as (word, argument); what is to come of them; what the next hop is to get."""

    def __init__(self):
        self.steps, self.decision, self.at, self.reply = [], None, "*", []
        self.sender, self.recipients, self.header, self.body = None, [], None, None


def block(lines):
    """The lines up to a dot alone."""
    found = []
    for line in lines:
        if line == ".":
            return "".join(f"{each}\r\n" for each in found)
        found.append(line)
    raise AssertionError("a block without its dot")


def read_output(transaction, word, argument, lines):
    if word == "FROM":
        transaction.sender = argument.split()[0].strip("<>")
    elif word == "TO":
        transaction.recipients.append(argument.split()[0].strip("<>"))
    elif word == "HEADER":
        transaction.header = block(lines)
    elif word == "BODY":
        transaction.body = block(lines)
    else:
        raise AssertionError(f"{word} in the output")


def read_case(text):
    """The small language of the set's README.md."""
    found, lines = [], iter(text.splitlines())
    for line in lines:
        word, _, argument = line.strip().partition(" ")
        if word == "#" or not found:
            found.append(Transaction())
        now = found[-1]
        if word in ("#", ""):
            continue
        if now.reply is not None and now.decision == "CUSTOM" and re.match(r"\d{3}[ -]", line):
            now.reply.append(line.strip())
        elif now.decision is not None:
            read_output(now, word, argument, lines)
        elif word == "DECISION":
            now.decision, _, at = argument.partition("@")
            now.at = at or "*"
        elif word in ("HEADER", "BODY"):
            now.steps.append((word, block(lines)))
        elif word in ("HELO", "STARTTLS", "AUTH", "FROM", "TO", "RESET"):
            now.steps.append((word, argument))
        else:
            raise AssertionError(f"{word} is no word of the language")
    assert all(t.decision for t in found), text
    return found


class Player:
    """Plays the transactions of one case over one connection."""

    def __init__(self, client, context):
        self.client, self.context = client, context
        self.greeted = False

    def hello(self, name="client.example"):
        if not self.greeted:
            assert self.client.command(f"EHLO {name}").code == 250
        self.greeted = True

    def tls(self):
        self.hello()
        assert self.client.starttls(self.context).code == 220
        self.greeted = False

    def auth(self, user):
        self.hello()
        words = f"\0{user}\0{user.replace('user', 'password').partition('@')[0]}"
        said = self.client.command("AUTH PLAIN " + base64.b64encode(words.encode()).decode())
        assert said.code == 235, said

    def play(self, transaction):
        """(step, reply) of what decided: the first refusal that leaves no recipient, or the end."""
        steps = list(transaction.steps)
        texts = {w: a for w, a in steps if w in ("HEADER", "BODY")}
        steps = [s for s in steps if s[0] not in texts]
        words = [w for w, _ in steps]
        if "FROM" not in words:
            at = words.index("TO") if "TO" in words else len(steps)
            steps.insert(at, ("FROM", "<from@example.com>"))
        if "TO" not in words:
            steps.append(("TO", "<to@example.com>"))
        sender, taken, last = "", 0, None
        for word, argument in steps:
            if word == "HELO":
                self.hello(argument)
            elif word == "STARTTLS":
                self.tls()
            elif word == "AUTH":
                self.auth(argument)
            elif word == "RESET":
                assert self.client.command("RSET").code == 250
                assert self.client.command(sender).code == 250
                taken, last = 0, None
            elif word == "FROM":
                self.hello()
                sender = f"MAIL FROM:{argument}"
                last = ("FROM", self.client.command(sender))
                if last[1].code != 250:
                    return last
            elif word == "TO":
                last = ("TO", self.client.command(f"RCPT TO:{argument}"))
                taken += last[1].code == 250
        if not taken:
            return last
        said = self.client.command("DATA")
        if said.code != 354:
            return "DATA", said
        self.client.send(smtp.stuffed((texts.get("HEADER", HEADER) + "\r\n"
                                       + texts.get("BODY", "body\r\n")).encode()))
        return "EOM", self.client.reply()


@pytest.fixture(scope="module")
def sink():
    with smtp.Server(SINK) as one:
        yield one


@pytest.fixture(scope="module", params=milter.FRONTS, ids=milter.FRONT_NAMES)
def gate(request, gateway_module):
    one = gateway_module(CONFIG.format(listen=milter.LISTEN, front=request.param))
    yield one
    one.stop()  # the next front needs the port


@pytest.fixture(scope="module", params=milter.MTAS)
def mta(request, gate, sink, authority):
    with milter.Mta(request.param, ADDRESS[request.param], SINK,
                    tls=authority.issue("mta.lab.example"),
                    users={"user1@example.com": "password1"}) as one:
        yield one


def names(suite):
    home = suite("milter-integration/tests")
    return {str(path.relative_to(home).with_suffix("")): path
            for path in sorted(home.glob("*/*.testcase"))}


OURS = """auth/no-auth auth/no-tls auth/ok header/add-first header/del macro/multi mail-from/accept
mail-from/custom mail-from/discard mail-from/quarantine mail-from/reject mail-from/temp-fail
milter/accept milter/reject-one rcpt-to/accept rcpt-to/add rcpt-to/change rcpt-to/custom rcpt-to/discard
rcpt-to/discard-one rcpt-to/multi rcpt-to/quarantine rcpt-to/reject rcpt-to/reject-one
rcpt-to/reject-one-2 rcpt-to/temp-fail""".split()


def test_every_case_is_played_or_named(suite):
    """36 cases: those below are played, those of NOT_OURS say why not; none is in neither."""
    found = set(names(suite))
    assert len(found) == 36
    assert found == set(OURS) | set(NOT_OURS) and not set(OURS) & set(NOT_OURS)
    assert (len(OURS), len(NOT_OURS)) == (26, 10) and all(NOT_OURS.values())


def head_of(message):
    """The header that arrived without the MTA's Received and our Authentication-Results."""
    head = message.partition(b"\r\n\r\n")[0] + b"\r\n"
    for name, own in ((b"Received", rb"[^\r]*\r\n[ \t]+by milter\.lab\.example "),
                      (b"Authentication-Results", b" mx\\.ours\\.example;")):
        head, n = re.subn(rb"(?m)^" + name + b":" + own + rb".*\r\n(?:[ \t].*\r\n)*", b"", head)
        assert n == 1, message
    return head.decode()


def assert_arrived(transaction, mail):
    if transaction.sender is not None:
        assert mail.sender == transaction.sender
    if transaction.recipients:
        assert sorted(mail.recipients) == sorted(transaction.recipients)
    if transaction.header is not None:
        expected = transaction.header.replace("Received: placeholder\r\n", "", 1)
        assert expected != transaction.header
        assert head_of(mail.message) == expected
    if transaction.body is not None:
        assert mail.message.partition(b"\r\n\r\n")[2].decode() == transaction.body


def expected_step(transaction, step):
    if transaction.at != "*":
        assert step == LATER.get(transaction.at, transaction.at)


@pytest.mark.parametrize("name", OURS)
def test_case(mta, sink, suite, authority, name):
    transactions = read_case(names(suite)[name].read_text(encoding="utf-8"))
    context = authority.client_context(verify=False)
    with smtp.Client(mta.address, source=CLIENT) as client:
        player = Player(client, context)
        for transaction in transactions:
            before = len(sink.mails)
            step, said = player.play(transaction)
            if transaction.decision == "ACCEPT":
                assert (step, said.code) == ("EOM", 250), (step, said)
                proc.wait_until(lambda n=before: len(sink.mails) > n, "the mail", 15)
                assert_arrived(transaction, sink.mails[before])
                assert len(sink.mails) == before + 1
                continue
            if transaction.decision == "DISCARD-OR-QUARANTINE":
                assert (step, said.code) == ("EOM", 250), (step, said)
            elif transaction.decision == "CUSTOM":
                path = client_path(transaction, step)
                wanted = [mta.reply(line, path) for line in transaction.reply]
                assert len(wanted) == 1 and str(said) == wanted[0], said
                expected_step(transaction, step)
            else:
                assert said.code // 100 == {"REJECT": 5, "TEMPFAIL": 4}[transaction.decision], said
                expected_step(transaction, step)
            assert client.command("RSET").code == 250
            assert len(sink.mails) == before
        client.command("QUIT")


def client_path(transaction, step):
    """Whom a reply at RCPT is about: the last recipient named, as Sendmail will name it."""
    if step != "TO":
        return None
    found = [argument.strip("<>") for word, argument in transaction.steps if word == "TO"]
    return found[-1] if found else "to@example.com"

"""contrib/learn-imap and contrib/learn-forwarded: what they teach, what they refuse, what they
remember; a recorder stands where `postern learn` does. The real one, with a real IMAP server, is in
tests/live/test_learn_scripts_live.py."""
import importlib.machinery
import importlib.util
import json
import pathlib
import subprocess
import sys
import time
import types

import pytest

CONTRIB = pathlib.Path(__file__).resolve().parents[2] / "contrib"
sys.path.insert(0, str(CONTRIB))
sys.dont_write_bytecode = True  # contrib/ is no place for it

import learning  # noqa: E402


def load(name):
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(CONTRIB / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


imap, forwarded = load("learn-imap"), load("learn-forwarded")

GATE = "mx.example.org"
RECORDER = """\
#!/bin/sh
# $1: label; then --domain NAME, or nothing; -
[ "$2" != --domain ] || { echo "$3" > "$(dirname "$0")/model"; shift 2; }
[ "$2" = - ] && cat >> "$(dirname "$0")/taught-$1" || exit 3
[ ! -e "$(dirname "$0")/fail" ] || { echo "the keeper does not answer"; exit 1; }
echo "learned"
"""


@pytest.fixture
def recorder(tmp_path):
    """The command in the place of `postern learn`; taught-spam and taught-ham lie beside it."""
    path = tmp_path / "learn"
    path.write_text(RECORDER)
    path.chmod(0o755)
    return path


def taught(recorder, label):
    path = recorder.with_name("taught-" + label)
    return path.read_bytes() if path.exists() else b""


# --- what they share

@pytest.mark.parametrize("mail,entry", [
    (b"A: b\n\nFrom me\n", b"A: b\n\n>From me\n\n"),
    (b"A: b\r\n\r\n>From me\r\nx", b"A: b\n\n>>From me\nx\n\n"),
    (b"A: b\n\nfrom me\n From you\n", b"A: b\n\nfrom me\n From you\n\n"),
])
def test_mbox(mail, entry):
    assert learning.mbox_entry(mail) == \
        b"From postern-learn Thu Jan  1 00:00:00 1970\n" + entry


def test_mbox_bounded():
    assert len(learning.mbox_entry(b"A: b\n\n" + b"x" * 50_000_000)) < 300_000


def test_secret(tmp_path):
    path = tmp_path / "password"
    path.write_text("s3cret \nmore\n")
    path.chmod(0o640)
    with pytest.raises(learning.Failed, match="others can read it"):
        learning.secret(path)
    path.chmod(0o600)
    assert learning.secret(path) == "s3cret "
    path.write_text("\n")
    with pytest.raises(learning.Failed, match="is empty"):
        learning.secret(path)
    with pytest.raises(learning.Failed, match="No such file"):
        learning.secret(tmp_path / "none")


def test_state(tmp_path):
    path = str(tmp_path / "state")
    with learning.State(path) as state:
        state.data["a"] = [1, 2]
        state.write()
        with pytest.raises(learning.Failed, match="another run"):
            learning.State(path).__enter__()
    with learning.State(path) as state:
        assert state.data == {"a": [1, 2]}
    for broken in "[]", "{", "\0":
        pathlib.Path(path).write_text(broken)
        with pytest.raises(learning.Failed, match="state"):
            learning.State(path).__enter__()


# --- learn-imap

@pytest.mark.parametrize("name,coded", [
    ("Junk", '"Junk"'), ("Spam & co", '"Spam &- co"'), ("Entwürfe", '"Entw&APw-rfe"'),
    ("Спам", '"&BCEEPwQwBDw-"'), ('a"b\\c', '"a\\"b\\\\c"'), ("日本語", '"&ZeVnLIqe-"'),
])
def test_folder_names(name, coded):
    assert imap.encode_folder(name) == coded


@pytest.mark.parametrize("field,marked", [
    (b"X-Spam-Evidence: mx.example.org; spam=0.98", True),
    (b"x-spam-evidence: MX.example.org ;\r\n spam=0.98", True),
    (b"X-Spam-Evidence: mx.example.net; spam=0.98", False),
    (b"Subject: X-Spam-Evidence: mx.example.org;", False),
])
def test_marked(field, marked):
    assert imap.marked_by(b"A: b\r\n" + field + b"\r\n\r\nx", GATE) == marked
    assert not imap.marked_by(b"A: b\r\n\r\n" + field + b"\r\n", GATE)


class Folders:
    """In the place of imap.Mailbox: name -> (UIDVALIDITY, {UID: mail})."""

    def __init__(self, folders):
        self.folders, self.opened, self.fetched = folders, None, []

    def open(self, folder):
        if folder not in self.folders:
            return None
        validity, self.opened = self.folders[folder]
        return validity

    def newer(self, uid):
        return sorted(u for u in self.opened if u > uid)

    def fetch(self, uid):
        self.fetched.append(uid)
        return self.opened[uid]


def imap_options(recorder, **more):
    return types.SimpleNamespace(**{"gateway": GATE, "most": 3, "dry_run": False,
                                    "learn": str(recorder), "model": None, **more})


def numbered(n):
    return b"Subject: %d\r\n\r\nmail %d\r\n" % (n, n)


def test_imap_only_new(recorder):
    """Bounded, the oldest first, on where the last run stopped, anew for a new UIDVALIDITY."""
    box = Folders({"Junk": (7, {u: numbered(u) for u in (2, 3, 5, 8, 9)})})
    o = imap_options(recorder)
    at, text = imap.teach_folder(o, box, None, "spam", "Junk")
    assert at == [7, 5] and text == "3 taught as spam, 2 left for the next run (learned)"
    at, text = imap.teach_folder(o, box, at, "spam", "Junk")
    assert at == [7, 9] and text == "2 taught as spam (learned)"
    assert imap.teach_folder(o, box, at, "spam", "Junk") == ([7, 9], "0 taught as spam")
    assert box.fetched == [2, 3, 5, 8, 9]
    assert taught(recorder, "spam").count(b"From postern-learn ") == 5
    assert b"Subject: 9\n\nmail 9\n" in taught(recorder, "spam")
    box.folders["Junk"] = (8, {1: numbered(1)})
    assert imap.teach_folder(o, box, at, "spam", "Junk")[0] == [8, 1]
    assert taught(recorder, "ham") == b""


def test_imap_not_what_the_gate_marked(recorder):
    """Else the filter would teach itself; moved out of Junk, such a mail is a correction."""
    ours = b"X-Spam-Evidence: mx.example.org; spam=0.99\r\n" + numbered(1)
    box = Folders({"Junk": (1, {1: ours, 2: numbered(2)}), "NotJunk": (2, {1: ours})})
    o = imap_options(recorder)
    _, text = imap.teach_folder(o, box, None, "spam", "Junk")
    assert text.startswith("1 taught as spam, 1 left out that the gate had marked itself")
    assert b"mail 1" not in taught(recorder, "spam")
    imap.teach_folder(o, box, None, "ham", "NotJunk")
    assert b"mail 1" in taught(recorder, "ham")


def test_imap_dry_run(recorder):
    box = Folders({"Junk": (1, {1: numbered(1), 2: None, 3: b"not a mail"})})
    _, text = imap.teach_folder(imap_options(recorder, dry_run=True), box, None, "spam", "Junk")
    assert text == "1 would be taught as spam" and taught(recorder, "spam") == b""
    assert imap.teach_folder(imap_options(recorder), box, None, "ham", "Gone") == \
        (None, "there is no such folder")


def test_imap_model_of_a_domain(recorder):
    box = Folders({"Junk": (1, {1: numbered(1)})})
    o = imap_options(recorder, model="example.net")
    assert imap.teach_folder(o, box, None, "spam", "Junk")[1] == "1 taught as spam (learned)"
    assert recorder.with_name("model").read_text() == "example.net\n"


def test_imap_learner_fails(recorder):
    """Where it was not learned, it is not remembered as seen."""
    box = Folders({"Junk": (1, {1: numbered(1)})})
    recorder.with_name("fail").touch()
    with pytest.raises(learning.Failed, match="status 1: the keeper does not answer"):
        imap.teach_folder(imap_options(recorder), box, None, "spam", "Junk")
    with pytest.raises(learning.Failed, match="cannot run"):
        imap.teach_folder(imap_options("/nonexistent/learn"), box, None, "spam", "Junk")


@pytest.mark.parametrize("words,complaint", [
    ([], "the following arguments are required"),
    (["--user", "a", "--user", "b"], "needs --as"),
    (["--user", "a", "--most", "0"], "--most must be at least 1"),
    (["--users", "/nonexistent"], "/nonexistent: No such file"),
])
def test_imap_options(words, complaint, capsys):
    needed = ["--host", "h", "--gateway", GATE, "--password-file", "p", "--state", "s"]
    with pytest.raises(SystemExit):
        imap.options(needed + words if words else [])
    assert complaint in capsys.readouterr().err


# --- learn-forwarded

SPAM = (b"Received: from x by y; Mon, 2 Nov 2026 10:00:00 +0000\r\nFrom: crook@far.example\r\n"
        b"Subject:  odd   blanks\r\n\tand folds, " + b"a" * 200 +
        b"\r\n\r\nBuy!\r\n\r\n--b\xe9\r\n")
PASS = f"Authentication-Results: {GATE}; dmarc=pass header.from=example.org"


def forward(mails, auth=PASS, to="spam@example.org", author="Ann <ann@example.org>", more="",
            kind="message/rfc822"):
    lines = [auth, f"Received: from out.example.org ([192.0.2.9])\r\n\tby {GATE} with ESMTPS id 1",
             f"From: {author}", f"To: {to}", "Subject: Fwd", "MIME-Version: 1.0",
             'Content-Type: multipart/mixed; boundary="=_7(x"', more]
    head = "\r\n".join(line for line in lines if line).encode()
    text = b"\r\n--=_7(x\r\nContent-Type: text/plain\r\n\r\nSee below.\r\n"
    return head + b"\r\n\r\n" + text + b"".join(
        b"--=_7(x\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + m + b"\r\n"
        for m in mails) + b"--=_7(x--\r\n"


class Forwarding:
    def __init__(self, recorder, tmp_path):
        self.recorder, self.state, self.home = recorder, tmp_path / "state.json", tmp_path

    def run(self, mail, *words):
        return subprocess.run(
            [sys.executable, str(CONTRIB / "learn-forwarded"), "--gateway", GATE, "--domain",
             "Example.ORG", "--state", str(self.state), "--learn", str(self.recorder), *words],
            input=mail, capture_output=True, timeout=60, check=False)

    def refused(self, mail, why, *words):
        done = self.run(mail, *words)
        assert done.returncode == 0 and why in done.stderr.decode(), done
        assert taught(self.recorder, "spam") == taught(self.recorder, "ham") == b""

    def taken(self, mail, label, *words):
        done = self.run(mail, *words)
        assert done.returncode == 0 and done.stderr == b"", done
        assert f"taught as {label}" in done.stdout.decode()
        return taught(self.recorder, label)


@pytest.fixture
def desk(recorder, tmp_path):
    return Forwarding(recorder, tmp_path)


def test_forwarded(desk):
    """Byte for byte but for line ends: it must be known as the mail that came."""
    assert desk.taken(forward([SPAM, numbered(1)]), "spam") == \
        learning.mbox_entry(SPAM) + learning.mbox_entry(numbered(1))
    assert json.loads(desk.state.read_text())["taught"] == {"ann@example.org": 2}
    assert desk.taken(forward([numbered(2)], to="Ham <HAM@example.org>"), "ham") == \
        learning.mbox_entry(numbered(2))


@pytest.mark.parametrize("auth", [
    f"Authentication-Results: {GATE};\r\n\tspf=fail smtp.mailfrom=a@far.example;\r\n\tdkim=pass"
    " header.d=example.org header.s=s (ok; fine)",
    f'Authentication-Results: (c) "{GATE}" 1; dmarc = pass (p=none) header.from=example.org',
    f"Authentication-Results: {GATE}; auth=pass smtp.auth=ann",
    f"Received: from pc\r\n\tby {GATE} with ESMTPSA id 3; now",
    f"Received: from store by inside.example.org with LMTP id 4\r\n{PASS}",
    f"Received: from far by {GATE} (Postfix) with ESMTP id 4\r\n{PASS}",
])
def test_forwarded_author_is_known(desk, auth):
    assert b"mail 5" in desk.taken(forward([numbered(5)], auth), "spam")


@pytest.mark.parametrize("auth", [
    "", "Authentication-Results: other.example; dmarc=pass header.from=example.org",
    f"Authentication-Results: {GATE}; none",
    f"Authentication-Results: {GATE}; dmarc=fail header.from=example.org",
    f"Authentication-Results: {GATE}; dmarc=pass header.from=far.example",
    f"Authentication-Results: {GATE}; dkim=pass header.d=far.example",
    f"Authentication-Results: {GATE}; spf=pass smtp.mailfrom=ann@example.org",
    f"Authentication-Results: {GATE}; dkim=fail (dkim=pass header.d=example.org)",
    f'Authentication-Results: {GATE}; spf=pass reason="x; dkim=pass header.d=example.org"',
    f'Authentication-Results: {GATE}; dkim=fail reason="a dmarc=pass header.from=example.org"',
    # the first word of the gate counts, not one that stands below
    f"Authentication-Results: {GATE}; dmarc=fail header.from=example.org\r\n{PASS}",
    f"Received: from a by {GATE} with ESMTP id 1\r\nReceived: from b by c\r\n{PASS}",
    f"Received: from a by {GATE} with ESMTP id 1\r\nReceived: from b by {GATE} with ESMTPSA id 2",
    f"Received: from {GATE} by far.example with ESMTPSA id 1",
    f"Received: from a (by {GATE} with ESMTPSA) by far.example with ESMTP id 1",
])
def test_forwarded_author_is_not_known(desk, auth):
    desk.refused(forward([SPAM], auth), "author")


@pytest.mark.parametrize("author", [
    "Ann <ann@far.example>", "ann@sub.example.org", "a@example.org, b@far.example", "", "ann",
    "a@b@example.org", 'ann@example.org\r\nFrom: b@far.example', "ann@example.org <b@far.example>",
])
def test_forwarded_strangers(desk, author):
    mail = forward([SPAM], author=author)
    done = desk.run(mail)
    assert done.returncode == 0 and b"author" in done.stderr or b"may teach" in done.stderr
    assert taught(desk.recorder, "spam") == b""


def test_forwarded_addresses(desk):
    desk.refused(forward([SPAM], to="info@example.org"), "neither address")
    desk.refused(forward([SPAM], to="spam@example.org, ham@example.org"), "both addresses")
    desk.refused(forward([SPAM]), "neither address", "--recipient", "x@example.org")
    desk.refused(forward([SPAM]), "neither address", "--spam", "junk@example.org")
    both = forward([SPAM], to="spam@example.org, ham@example.org")
    assert desk.taken(both, "ham", "--recipient", "ham@example.org")
    delivered = forward([numbered(3)], to="list@example.org",
                        more="Delivered-To: spam@example.org")
    assert desk.taken(delivered, "spam")


def test_forwarded_without_mails(desk):
    desk.refused(forward([]), "attached no mail")
    desk.refused(f"{PASS}\r\nFrom: a@example.org\r\nTo: spam@example.org\r\n\r\nFwd: x".encode(),
                 "attached no mail")
    desk.refused(forward([b"", b"words", b"\r\n\r\n"]), "attached no mail")
    desk.refused(forward([SPAM], more="Auto-Submitted: auto-replied"), "a program sent it")


def test_forwarded_shapes(desk):
    """Encoded, as a file, in a multipart of its own; not what the attached mail has in it."""
    coded = forward([b"VG86IGFubgoKY29kZWQK"],
                    kind="message/rfc822\r\nContent-Transfer-Encoding: base64")
    assert b"\nTo: ann\n\ncoded\n" in desk.taken(coded, "spam")
    named = forward([b"A: b\n\nnamed"], kind='application/octet-stream; name="x.EML"')
    assert b"named" in desk.taken(named, "spam")
    within = forward([numbered(32)]).replace(b"=_7(x", b"=_8")
    digest = (b"--i\r\nContent-Type: message/rfc822\r\n\r\n" + within +
              b"\r\n--i\r\n\r\n" + numbered(31) + b"\r\n--i--")
    all_of_it = desk.taken(forward([]).replace(
        b"Content-Type: text/plain\r\n\r\nSee below.",
        b"Content-Type: multipart/digest; boundary=i\r\n\r\n" + digest), "spam")
    assert all_of_it.endswith(learning.mbox_entry(within) + learning.mbox_entry(numbered(31)))
    assert all_of_it.count(b"From postern-learn ") == 4


def test_forwarded_hostile(desk):
    """Deep, many, endless, cut anywhere: an answer, soon, and nothing taught that is not there."""
    deep = b"x"
    for i in range(60):
        deep = b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n%b\r\n--%d--" % (
            i, i, deep, i)
    wrap = forward([]).replace(b"Content-Type: text/plain\r\n\r\nSee below.", deep)
    desk.refused(wrap, "more parts than people send")
    desk.refused(forward([b"A: x"] * 100_000, kind="text/plain"), "more parts than people send")
    desk.refused(b"\xff" * 1_000_000, "author")
    whole = forward([SPAM])
    o = forwarded.options(["--gateway", GATE, "--domain", "example.org", "--state", "s",
                           "--dry-run"])
    counts = set()
    for cut in range(len(whole)):
        try:
            counts.add(forwarded.teach(whole[:cut], o, types.SimpleNamespace(data={})))
        except forwarded.Refused:
            counts.add(None)
    assert counts == {None, "ann@example.org: 1 would be taught as spam"}


def test_forwarded_rate(desk):
    o = "--most", "3"
    desk.taken(forward([numbered(n) for n in range(2)]), "spam", *o)
    assert b"1 taught as spam, 1 too many" in desk.run(
        forward([numbered(n) for n in range(2, 4)]), *o).stdout
    done = desk.run(forward([numbered(9)]), *o)
    assert done.returncode == 0 and b"has taught 3 mails today" in done.stderr
    assert taught(desk.recorder, "spam").count(b"From postern-learn ") == 3
    assert desk.taken(forward([numbered(9)], author="bo@example.org"), "spam", *o)
    state = json.loads(desk.state.read_text())
    state["day"] = "2020-01-01"
    desk.state.write_text(json.dumps(state))
    desk.taken(forward([numbered(10)]), "spam", *o)
    assert json.loads(desk.state.read_text())["taught"] == {"ann@example.org": 1}


def test_forwarded_learner_fails(desk):
    """The mail server tries again; it does not count as taught."""
    desk.recorder.with_name("fail").touch()
    done = desk.run(forward([SPAM]))
    assert done.returncode == 75 and b"the keeper does not answer" in done.stderr
    assert not desk.state.exists()


def test_forwarded_two_at_once(desk):
    """The second waits: no mail is put off, none is forgotten in the count."""
    with learning.State(str(desk.state)):
        words = [sys.executable, str(CONTRIB / "learn-forwarded"), "--gateway", GATE, "--domain",
                 "example.org", "--state", str(desk.state), "--learn", str(desk.recorder)]
        second = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        second.stdin.write(forward([SPAM]))
        second.stdin.close()
        time.sleep(0.5)
        assert second.poll() is None and taught(desk.recorder, "spam") == b""
    assert b"1 taught as spam" in second.stdout.read()
    assert second.wait(timeout=30) == 0


def test_forwarded_maildir(desk):
    home = desk.home / "Maildir"
    for folder in "new", "cur", "tmp":
        (home / folder).mkdir(parents=True)
    (home / "new/1.a").write_bytes(forward([numbered(1)]))
    (home / "new/2.b").write_bytes(forward([numbered(2)], auth=""))
    (home / "cur/0.old:2,S").write_bytes(forward([numbered(3)]))
    assert desk.run(b"", str(home), "--dry-run").returncode == 0
    assert len(list((home / "new").iterdir())) == 2
    done = desk.run(b"", str(home))
    assert done.returncode == 0 and b"1.a: ann@example.org: 1 taught" in done.stdout
    assert b"2.b: " in done.stderr
    assert sorted(p.name for p in (home / "cur").iterdir()) == \
        ["0.old:2,S", "1.a:2,S", "2.b:2,S"]
    assert taught(desk.recorder, "spam") == learning.mbox_entry(numbered(1))
    done = desk.run(b"", str(desk.home / "none"))
    assert done.returncode == 75 and b"No such file" in done.stderr

"""Without root, on high ports: it all runs as the calling user, and locked in all the same."""
import pathlib
import pwd
import shutil

import pytest

from lab import postern, proc, smtp

GATE, SERVER, CLIENT = "192.0.2.45", "198.51.100.45", "192.0.2.75"
USER = "nobody"
CONFIG = f"""\
    hostname "mx.example.com"
    resolver "192.0.2.53:53" trust "trust.key"
    listen inbound  on "{GATE}:2525"
    listen outbound on "{GATE}:2587" from {{ {CLIENT}/32 }}
    domain "example.com" deliver to "{SERVER}:2525"
    send smarthost "{SERVER}:2525"
    sign "example.com" selector "s1" key "s1.pem"
    filter virus {{ database "signatures" }}
    filter spf {{ engine libspf2 }}
    inbound {{
        reject if spf is fail
        reject if virus
        accept
    }}
    outbound {{
        sign
        accept
    }}
    """
# They start and watch others and see no byte of a mail.
MANAGERS = {"posternd", "postern-scanner", "postern-engine"}


@pytest.fixture
def programs():
    """The build's programs where everybody can reach them: the repository may be below /root."""
    place = proc.LAB / "programs"
    place.mkdir()
    proc.run("mount", "--bind", postern.binary().parent, place)
    yield place
    proc.run("umount", "-l", place)


def status(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return {key: value.split() for key, _, value in (line.partition(":") for line in lines)}


def test_ordinary_user(posternd, nsd, programs):
    """Mails in and out; no process has another's rights, each that sees a mail has seccomp."""
    gate = postern.Postern(CONFIG, {"trust.key": nsd.trust_file,
                                    "signatures/one.hdb": f"{'0' * 32}:68:Nothing\n"},
                           program=programs / posternd.name, user=USER)
    key = gate.home / "s1.pem"
    proc.run(postern.binary("postern"), "dkim", "keygen", "example.com", "s1", "rsa2048", key)
    shutil.chown(key, USER)
    gate.start()
    try:
        with smtp.Server(SERVER, port=2525) as sink:
            for port, sender, recipient in ((2525, "alice@sender.example", "bob@example.com"),
                                            (2587, "bob@example.com", "carol@far.example")):
                with smtp.Client(GATE, port=port, source=CLIENT) as client:
                    said = client.mail(sender, [recipient], smtp.message(sender=sender))
                    assert said.last.code == 250, (said, gate.log())
            assert [b"DKIM-Signature:" in mail.message for mail in sink.mails] == [False, True]
        uid = str(pwd.getpwnam(USER).pw_uid)
        seen = {}
        for pid, name in gate.processes().items():
            found = seen[name] = status(pid)
            assert found["Uid"] == [uid] * 4 and found["CapEff"] == ["0" * 16], (name, found)
            locked = (found["NoNewPrivs"], found["Seccomp"]) == (["1"], ["2"])
            assert locked or name in MANAGERS, (name, found)
        assert MANAGERS < set(seen)
        kinds = {name.split()[0] for name in seen} - MANAGERS
        assert {"session", "delivery", "signer", "scan-worker", "engine-worker"} <= kinds, kinds
    finally:
        gate.stop()

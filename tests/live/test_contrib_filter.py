"""contrib/postfix/filter.conf and filter.cf as they stand: Postern before Postfix's queue and
behind it.
"""
import pytest

from lab import proc, smtp
from lab.postfix import SERVICES, Postfix
from test_contrib import AROUND, REMOTE, VIRUS, WORLD, key, send, verifies  # noqa: F401

HOME = proc.REPOSITORY / "contrib/postfix"
MTA, SUBMISSION = "192.0.2.46", 587


def services():
    """The lines of filter.cf, which has the laboratory's smtp service in its place and no chroot;
    submission without what needs accounts."""
    assert SERVICES.startswith("{address}:smtp ")
    lines = (HOME / "filter.cf").read_text().replace(" y ", " n ").splitlines(True)
    kept = [line for line in lines if "tls_security" not in line and "sasl_auth" not in line
            and not line.startswith("#")]
    text = "".join(kept).replace("permit_sasl_authenticated,reject", "permit_mynetworks,reject")
    return "\n" + text.replace("smtp      inet", "{address}:smtp inet")


@pytest.fixture
def site(gateway, key):  # noqa: F811
    gateway(AROUND, {"contrib.conf": HOME / "filter.conf", "dkim/example.com.pem": key[0],
                     "signatures/main.ndb": f"Lab.Contrib:0:*:{VIRUS.hex()}\n"})
    mta = Postfix("filter", MTA, domains=["example.com"], networks=["127.0.0.0/8"], main={
        "relayhost": f"[{REMOTE}]:25", "content_filter": "scan:[127.0.0.1]:10027",
        "inet_interfaces": "all"}, services=services())
    mta.services = mta.services[mta.services.index("\n") + 1:]  # the smtp service is filter.cf's
    mta.start()
    yield mta
    mta.stop()


@pytest.fixture
def remote():
    with smtp.Server(REMOTE) as server:
        yield server


def test_before_the_queue(site):
    def inbound(**more):
        return send(site, WORLD, "alice@sender.example", "bob@example.com", smtp.message(**more))
    assert inbound(subject="clean").code == 250
    mail = site.wait_mails(1)[0]
    assert "spf=pass" in mail["Authentication-Results"]
    reply = inbound(subject="virus", body=VIRUS.decode() + "\r\n")
    assert reply.code // 100 == 5 and reply.enhanced, reply


def test_behind_the_queue(site, remote, key):  # noqa: F811
    site.send("ann@example.com", ["bob@dest.example"],
              b"From: ann@example.com\nTo: bob@dest.example\nSubject: cron\n\nDone.\n")
    proc.wait_until(lambda: remote.mails, "the mail at the remote", 20)
    message = remote.mails[0].message
    assert message.count(b"DKIM-Signature:") == 1 and verifies(message, key[1]), message

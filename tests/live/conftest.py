"""Fixtures of the live tests, and the reasons for which they are skipped, said aloud."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

from lab import dns, postern, proc, tls  # noqa: E402

GATEWAY = "192.0.2.25"


def pytest_collection_modifyitems(items):
    if proc.INSIDE:
        return
    reason = "not inside the laboratory: tests/lib/inlab pytest tests/live (needs root)"
    for item in items:
        item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """On failure, what the gateways of this test logged stands below the traceback."""
    report = (yield).get_result()
    if report.failed:
        for gateway in getattr(item, "gateways", []):
            report.sections.append(("posternd's log, its end", gateway.log()[-6000:]))


@pytest.fixture(scope="session")
def posternd():
    """The gateway's binary; without it the test is skipped."""
    path = postern.binary()
    if not path.exists():
        pytest.skip(f"{path} is not built")
    return path


@pytest.fixture(scope="session")
def authority():
    return tls.Authority(proc.LAB / "tls")


@pytest.fixture(scope="session")
def nsd():
    """The DNS of all live tests. A test module adds its zones by nsd.set() and nsd.restart()."""
    server = dns.Dns({
        "example.com": "@ MX 10 mx\nmx A 192.0.2.25\n",
        "sender.example": '@ MX 10 mail\nmail A 192.0.2.70\n'
                          '@ TXT "v=spf1 ip4:192.0.2.64/26 -all"\n',
    }, {"192.0.2.70": "mail.sender.example", "192.0.2.25": "mx.example.com"}).start()
    yield server
    server.stop()


@pytest.fixture
def gateway(request, posternd, nsd):
    """gateway(config, files) starts a gateway; it must end cleanly when the test is over."""
    running = []

    def start(config, files=None, environment=None):
        one = postern.Postern(config, {"trust.key": nsd.trust_file, **(files or {})}, environment)
        running.append(one)
        return one.start()
    request.node.gateways = running
    yield start
    for one in running:
        one.stop()


@pytest.fixture(scope="module")
def gateway_module(request, posternd, nsd):
    """As gateway, but for all tests of a module; each sees its log on failure."""
    running = []

    def start(config, files=None, environment=None):
        one = postern.Postern(config, {"trust.key": nsd.trust_file, **(files or {})}, environment)
        running.append(one)
        return one.start()
    yield start
    for one in running:
        one.stop()


FIRST_GATE = """\
hostname "mx.example.com"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "192.0.2.25:25"
domain "example.com" deliver to "198.51.100.5:25"
inbound {
    reject if recipient.domain is not "example.com"
    accept
}
"""


@pytest.fixture(scope="session")
def first_gate():
    """The smallest whole configuration: one domain, one protected server at 198.51.100.5."""
    return FIRST_GATE

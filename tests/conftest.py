"""Fixtures of tests/live and tests/suites, and the reasons for skipping, said aloud."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))

from lab import dns, postern, proc, tls  # noqa: E402


def pytest_collection_modifyitems(items):
    """Outside of the laboratory, what needs it is skipped: tests/live, and our fixtures."""
    if proc.INSIDE:
        return
    reason = "not inside the laboratory: tests/lib/inlab pytest tests (needs root)"
    for item in items:
        if item.path.parent.name == "live" or {"nsd", "posternd"} & set(item.fixturenames):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """On failure, what the gateways of this test logged stands below the traceback."""
    report = (yield).get_result()
    if report.failed:
        for gateway in getattr(item, "gateways", []) + getattr(item.parent, "gateways", []):
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
def nsd_process():
    server = dns.Dns({
        "example.com": "@ MX 10 mx\nmx A 192.0.2.25\n",
        "sender.example": '@ MX 10 mail\nmail A 192.0.2.70\n'
                          '@ TXT "v=spf1 ip4:192.0.2.64/26 -all"\n',
    }, {"192.0.2.70": "mail.sender.example", "192.0.2.25": "mx.example.com"}).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def nsd(nsd_process):
    """The DNS of all live tests. A test module adds its zones by nsd.set() and nsd.restart(); the
    next one finds none of them."""
    zones, pointers = dict(nsd_process.zones), dict(nsd_process.pointers)
    yield nsd_process
    if (nsd_process.zones, nsd_process.pointers) != (zones, pointers):
        nsd_process.zones, nsd_process.pointers = zones, pointers
        nsd_process.restart()


@pytest.fixture
def gateway(request, posternd, nsd):
    """gateway(config, files) starts a gateway; it must end cleanly when the test is over."""
    running = []
    request.node.gateways = running
    yield starter(nsd, running)
    stop_all(running)


@pytest.fixture(scope="module")
def gateway_module(request, posternd, nsd):
    """As gateway, but for all tests of a module; each shows its log on failure."""
    request.node.gateways = []
    yield starter(nsd, request.node.gateways)
    stop_all(request.node.gateways)


def stop_all(gateways):
    """Every one is stopped, even if the first did not end cleanly; then that is told."""
    wrong = []
    for one in gateways:
        try:
            one.stop()
        except AssertionError as e:
            wrong.append(str(e))
    assert not wrong, "\n".join(wrong)


def starter(nsd, running):
    """Starts gateways and remembers them. What posternd says "is not there yet" is skipped."""
    def start(config, files=None, environment=None):
        one = postern.Postern(config, {"trust.key": nsd.trust_file, **(files or {})}, environment)
        status, said = one.check()
        missing = [line for line in said.splitlines() if "is not there yet" in line]
        if status != 0 and missing:
            pytest.skip(missing[0].partition("error: ")[2])
        running.append(one)
        return one.start()
    return start


@pytest.fixture(scope="session")
def suite():
    """suite("espoofer/cases.jsonl"): a file of the test data of others; skipped where absent."""
    def path(name):
        found = proc.suites_dir() / name
        if not found.exists():
            pytest.skip(f"test data of others is not here: {found} (POSTERN_SUITES)")
        return found
    return path


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

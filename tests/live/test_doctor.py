"""`postern doctor` against the laboratory's DNS: a gateway that is well, and each thing that can be wrong.

Every line that the tool prints is compared, with its advice; what is not expected fails the test.
"""
import json
import os
import re
import subprocess

import pytest

from lab import dns, postern, proc, smtp, tls

GATE, NOPTR, FALSE, ELSEWHERE = "192.0.2.46", "192.0.2.47", "192.0.2.48", "198.51.100.46"
SELECTORS = ("good", "other", "revoked", "missing", "testing", "double", "sha1")
WELL = """\
hostname "mx.doc.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{spool}"
listen inbound on "192.0.2.46:25" tls optional certificate "{cert}" key "{key}"
domain "doc.example" deliver to "198.51.100.46:25"
send direct
sign "doc.example" selector "good" key "good.pem"
inbound {{ accept }}
"""
ILL = """\
hostname "lost.doc.example"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "192.0.2.46:25" tls optional certificate "{cert}" key "{key}"
listen outbound on "192.0.2.46:587" from {{ 192.0.2.64/26 }}
listen inbound on "192.0.2.49:25"
domain "far.doc.example" deliver to "198.51.100.46:25"
domain "null.example" deliver to "198.51.100.46:25"
domain "dead.example" deliver to "198.51.100.46:25"
domain "bare.example" deliver to "198.51.100.46:25"
domain "implicit.example" deliver to "198.51.100.46:25"
send direct
{signs}
inbound {{ accept }}
outbound {{ accept }}
"""


def doctor(config, *words):
    """(exit status, lines, advice by line)."""
    done = subprocess.run([postern.binary("postern"), "-f", config, "doctor", *words],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          check=False,
                          env={**os.environ, **postern.sanitizer_environment()})
    assert done.returncode in (0, 1, 2, 64), done.stdout + done.stderr
    lines, advice = [], {}
    for line in done.stdout.splitlines():
        if line.startswith("      -> "):
            advice[lines[-1]] = line[len("      -> "):]
        else:
            lines.append(line)
    return done.returncode, lines, advice


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """{selector: (path of the key, its record's text)}, made by the tool itself."""
    home, made = tmp_path_factory.mktemp("keys"), {}
    for selector in SELECTORS:
        path = home / f"{selector}.pem"
        said = proc.run(postern.binary("postern"), "dkim", "keygen", "doc.example", selector, path,
                        env={**os.environ, **postern.sanitizer_environment()}).stdout
        made[selector] = path, "".join(re.findall(r'"([^"]*)"', said.split(" )")[0]))
    return made


def txt(name, text):
    return f"{name} TXT " + " ".join(f'"{text[i:i + 200]}"' for i in range(0, len(text), 200)) + "\n"


@pytest.fixture(scope="module")
def zones(nsd, keys):
    record = {selector: text for selector, (_, text) in keys.items()}
    published = {"good": record["good"], "other": record["good"], "revoked": "v=DKIM1; k=rsa; p=",
                 "testing": record["testing"].replace("v=DKIM1;", "v=DKIM1; t=y;"),
                 "sha1": record["sha1"].replace("v=DKIM1;", "v=DKIM1; h=sha1;")}
    doc = f"@ MX 10 mx\nmx A {GATE}\nfar MX 10 faraway\nfaraway A {ELSEWHERE}\n"
    doc += f'@ TXT "v=spf1 ip4:{GATE} -all"\n_dmarc TXT "v=DMARC1; p=reject"\n'
    doc += "".join(txt(f"{name}._domainkey", text) for name, text in published.items())
    doc += txt("double._domainkey", record["double"])
    doc += txt("double._domainkey", record["good"])
    nsd.set({
        "doc.example": doc,
        "null.example": '@ MX 0 .\n@ TXT "v=spf1 ?all"\n'
                        '_dmarc TXT "v=DMARC1; p=none"\n_dmarc TXT "v=DMARC1; p=reject"\n',
        "dead.example": '@ MX 10 gone\n@ TXT "v=spf1 ipv4:192.0.2.1 -all"\n'
                        '_dmarc TXT "v=DMARC1; p=perhaps"\n',
        "bare.example": '@ TXT "v=spf1 -all"\n_dmarc TXT "p=reject; v=DMARC1"\n',
        "implicit.example": f'@ A {GATE}\n@ TXT "v=spf1 a ~all"\n'
                            '_dmarc TXT "v=DMARC1; p=quarantine; t=y"\n',
    })
    nsd.pointers.update({GATE: "mx.doc.example", FALSE: "faraway.doc.example"})
    nsd.restart()
    yield
    for address in GATE, FALSE:
        del nsd.pointers[address]


@pytest.fixture(scope="module")
def certificate(authority):
    authority.trust()
    return authority.issue("mx.doc.example", "doc.example")


def clock(lines):
    """The line about the clock, which is this machine's, and the others."""
    assert re.match(r"(ok   |warn ) clock: 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ; ", lines[0]), lines[0]
    return lines[0][:5].strip(), lines[1:]


def compare(lines, expected):
    """Line by line; an expected line is a regular expression where it begins with ^."""
    assert len(lines) == len(expected), "\n".join(lines)
    for line, pattern in zip(lines, expected):
        if pattern.startswith("^"):
            assert re.fullmatch(pattern, line), (line, pattern)
        else:
            assert line == pattern


def test_a_gateway_that_is_well(gateway, zones, keys, certificate):
    cert, key = certificate
    spool = proc.LAB / "spool-doctor"
    gate = gateway(WELL.format(spool=spool, cert=cert, key=key), {"good.pem": keys["good"][0]})
    status, lines, advice = doctor(gate.config, "--address", GATE, "--listen")
    of_clock, lines = clock(lines)
    spool_line = [line for line in lines if " spool " in line][0]
    compare(lines, [
        f"ok    address {GATE}: as --address says",
        f"ok    ptr {GATE}: mx.doc.example, which leads back to it",
        "ok    helo mx.doc.example: leads to us",
        "ok    mx doc.example: 10 mx.doc.example: us",
        f"ok    spf doc.example for {GATE}: pass (ip4:{GATE})",
        "ok    dkim good._domainkey.doc.example: fits the key (rsa-sha256)",
        "ok    dmarc _dmarc.doc.example: asks for reject",
        fr"^ok    certificate {GATE}:25 .*/mx\.doc\.example\.pem: for mx\.doc\.example, until "
        r"20\d\d-.*Z",
        rf"^ok    listen {GATE}:25: answers: 220 mx\.doc\.example .*",
        rf"^(ok   |warn ) spool {spool}: \d+ MiB free, \d+ %; \d+ inodes free",
        f"^ok    store {spool}: 0 mails, 0 bytes, 0 failures of \\d+ syncs",
        "ok    quarantine: 0 mails, 0 bytes, 0 % of `quarantine size`",
        "^ok    egress open: .*",
    ])
    assert status == (1 if "warn" in (of_clock, spool_line[:4]) else 0)
    assert set(advice) <= {line for line in [f"{of_clock:5} clock", spool_line]} | {
        line for line in advice if "clock" in line}
    # The same for programs.
    done = subprocess.run([postern.binary("postern"), "-f", gate.config, "doctor", "--json",
                           "--address", GATE, "--listen"], capture_output=True, check=False,
                          env={**os.environ, **postern.sanitizer_environment()})
    found = json.loads(done.stdout)
    assert done.returncode == status
    assert found["worst"] == ("warn" if status else "ok")
    assert [c["check"] for c in found["checks"]] == ["clock"] + [line.split()[1].rstrip(":")
                                                                for line in lines]


def test_everything_that_can_be_wrong(zones, keys, certificate, nsd, tmp_path):
    cert, key = certificate
    config = tmp_path / "postern.conf"
    signs = "\n".join(f'sign "doc.example" selector "{s}" key "{keys[s][0]}"' for s in SELECTORS)
    config.write_text(ILL.format(cert=cert, key=key, signs=signs))
    (tmp_path / "trust.key").write_bytes(nsd.trust_file.read_bytes())
    status, lines, advice = doctor(config, "--address", NOPTR, "--address", FALSE, "--address",
                                   "10.1.2.3", "--listen")
    _, lines = clock(lines)
    assert status == 2
    unsigned = [f"warn  dkim {name}: is sent for without a signature" for name in
                ("far.doc.example", "null.example", "dead.example", "bare.example",
                 "implicit.example")]
    compare(lines, [
        f"ok    address {NOPTR}: as --address says",
        f"ok    address {FALSE}: as --address says",
        "warn  address 10.1.2.3: private: the world sees another one",
        f"fail  ptr {NOPTR}: 47.2.0.192.in-addr.arpa does not exist",
        f"fail  ptr {FALSE}: faraway.doc.example, which does not lead back to it",
        "fail  helo lost.doc.example: has neither A nor AAAA",
        "warn  mx far.doc.example: 10 faraway.doc.example: none of them is us",
        "fail  mx null.example: a null MX: it says that it takes no mail (RFC 7505)",
        "fail  mx dead.example: 10 gone.dead.example: 1 of them without an address",
        "fail  mx bare.example: no MX: has no such record",
        "ok    mx implicit.example: no MX, but its own address is us (RFC 5321 5.1)",
        f"warn  spf far.doc.example for {NOPTR}: there is no SPF record",
        f"warn  spf far.doc.example for {FALSE}: there is no SPF record",
        f"warn  spf null.example for {NOPTR}: neutral (?all)",
        f"warn  spf null.example for {FALSE}: neutral (?all)",
        f"^fail  spf dead.example for {NOPTR}: permerror .*",
        f"^fail  spf dead.example for {FALSE}: permerror .*",
        f"fail  spf bare.example for {NOPTR}: fail (-all)",
        f"fail  spf bare.example for {FALSE}: fail (-all)",
        f"fail  spf implicit.example for {NOPTR}: softfail (~all)",
        f"fail  spf implicit.example for {FALSE}: softfail (~all)",
        f"fail  spf doc.example for {NOPTR}: fail (-all)",
        f"fail  spf doc.example for {FALSE}: fail (-all)",
        "ok    dkim good._domainkey.doc.example: fits the key (rsa-sha256)",
        "fail  dkim other._domainkey.doc.example: it is another key than the one that we sign "
        "with",
        "fail  dkim revoked._domainkey.doc.example: it is revoked (p= is empty)",
        "fail  dkim missing._domainkey.doc.example: does not exist",
        "warn  dkim testing._domainkey.doc.example: fits the key, but says that it is only a "
        "test (t=y)",
        "fail  dkim double._domainkey.doc.example: there is more than one record: which one "
        "counts is not defined",
        "fail  dkim sha1._domainkey.doc.example: h= does not allow sha256",
        *unsigned,
        "ok    dmarc _dmarc.far.doc.example: covered by the record of doc.example, which asks "
        "for reject",
        "fail  dmarc _dmarc.null.example: 2 records: none of them counts",
        "^fail  dmarc _dmarc.dead.example: the record cannot be used: .*",
        "warn  dmarc _dmarc.bare.example: there is no DMARC record",
        "ok    dmarc _dmarc.implicit.example: asks for quarantine, as a test only (t=y)",
        "ok    dmarc _dmarc.doc.example: asks for reject",
        f"^warn  certificate {GATE}:25 .*: is for mx.doc.example, not for lost.doc.example",
        "warn  certificate 192.0.2.49:25: no TLS: mail comes in clear",
        f"^fail  listen {GATE}:25: .*refused.*",
        f"^fail  listen {GATE}:587: .*refused.*",
        "^fail  listen 192.0.2.49:25: .*refused.*",
    ])
    # What to do stands behind everything that is not well, and nowhere else.
    assert {line for line in lines if not line.startswith("ok ")} <= set(advice)
    assert not [line for line in advice if line.startswith("ok ")]
    assert advice[f"fail  ptr {NOPTR}: 47.2.0.192.in-addr.arpa does not exist"] == (
        "whoever gave you the address must publish: 47.2.0.192.in-addr.arpa. PTR "
        "lost.doc.example.")
    missing = "fail  dkim missing._domainkey.doc.example: does not exist"
    assert advice[missing] == (
        f'publish: missing._domainkey.doc.example. TXT "{keys["missing"][1]}"')
    assert advice[f"fail  spf bare.example for {NOPTR}: fail (-all)"] == (
        f"add ip4:{NOPTR} to the SPF record of bare.example")


BLOCKED = """\
hostname "mx.doc.example"
resolver "192.0.2.53:53" trust "trust.key"
spool "{spool}"
listen outbound on "192.0.2.46:587" from {{ 192.0.2.64/26 }}
domain "doc.example" deliver to "198.51.100.46:25"
send direct
queue {{ retry after 1h }}
outbound {{ accept }}
"""


def test_a_way_out_that_is_blocked(gateway, nsd, zones):
    """Many that have nothing in common refuse connections: the evidence stands in the line."""
    sites = {f"far{i}.example": f"198.51.100.{150 + i}" for i in range(16)}
    nsd.set({name: dns.Zone(f"@ MX 10 mx\nmx A {address}\n", signed=False)
             for name, address in sites.items()})
    nsd.restart()
    gate = gateway(BLOCKED.format(spool=proc.LAB / "spool-blocked"))
    assert any(line.startswith("ok    egress open: ")
               for line in doctor(gate.config, "--address", GATE)[1])
    with smtp.Client(GATE, 587, source="192.0.2.75") as client:
        for name in sites:
            said = client.mail("ann@doc.example", [f"bob@{name}"], smtp.message("x"))
            assert said.dot.code == 250, said
    gate.wait_event("egress", timeout=30, state="blocked")
    status, lines, advice = doctor(gate.config, "--address", GATE)
    found = [line for line in lines if " egress " in line]
    assert status == 2 and len(found) == 1 and found[0].startswith("fail  egress blocked: ")
    assert re.search(r"far\d+\.example", found[0]), found
    assert "port 25" in advice[found[0]]
    # And each mail says so.
    queue = [postern.binary("postern"), "-f", gate.config, "queue"]
    environment = {**os.environ, **postern.sanitizer_environment()}
    items = proc.run(*queue, "list", "--json", env=environment).stdout.splitlines()
    assert len(items) == len(sites)
    why = proc.run(*queue, "why", json.loads(items[0])["id"], env=environment).stdout
    assert "beware: the way out is blocked" in why, why
    assert proc.run(*queue, env=environment).stdout.endswith("the way out is blocked\n")


@pytest.mark.parametrize("days, state", [(2, "warn"), (-1, "fail")])
def test_certificate_that_ends(zones, nsd, tmp_path, days, state):
    """By an authority that nobody trusts: the end is told first, the trust where all else is well."""
    other = tls.Authority(tmp_path / "tls")
    cert, key = other.issue("mx.doc.example", days=days)
    lines = certificate_lines(tmp_path, nsd, cert, key)
    assert len(lines) == 1 and lines[0].startswith(f"{state:5} certificate {GATE}:25 ")
    assert ("ends soon: 20" if days > 0 else "expired: 20") in lines[0]


def test_certificate_of_nobody(zones, nsd, tmp_path):
    other = tls.Authority(tmp_path / "tls")
    cert, key = other.issue("mx.doc.example")
    lines = certificate_lines(tmp_path, nsd, cert, key)
    assert len(lines) == 1 and lines[0].startswith(f"warn  certificate {GATE}:25 ")
    assert "not trusted by this system: " in lines[0]


def certificate_lines(home, nsd, cert, key):
    config = home / "postern.conf"
    config.write_text(WELL.format(spool=home / "spool", cert=cert, key=key)
                      .replace('sign "doc.example" selector "good" key "good.pem"\n', ""))
    (home / "trust.key").write_bytes(nsd.trust_file.read_bytes())
    _, lines, _ = doctor(config, "--address", GATE)
    assert f"fail  spool {home / 'spool'}: look at it: No such file or directory" in lines
    assert any(line.startswith("warn  keeper: posternd does not run") for line in lines)
    return [line for line in lines if " certificate " in line]


def test_called_wrongly_and_no_way_out(zones, nsd, tmp_path):
    config = tmp_path / "postern.conf"
    config.write_text('hostname "mx.doc.example"\nresolver "192.0.2.53:53" trust "trust.key"\n'
                      'listen inbound on "192.0.2.46:25"\n'
                      'domain "doc.example" deliver to "198.51.100.46:25"\nsend direct\n'
                      'inbound { accept }\n')
    (tmp_path / "trust.key").write_bytes(nsd.trust_file.read_bytes())
    assert doctor(config, "--address", "nowhere")[0] == 64
    assert doctor(config, "--bogus")[0] == 64
    # The laboratory has no way to the Internet.
    status, lines, _ = doctor(config)
    assert status == 2
    assert "fail  address: there is no way to the Internet, neither by IPv4 nor by IPv6" in lines
    config.write_text("nonsense\n")
    assert doctor(config)[0] == 2

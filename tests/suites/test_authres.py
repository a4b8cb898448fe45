"""python3-authres parses our Authentication-Results, hostile values and all (AUT-07, HDR-05)."""
import random
import re

import pytest

import dkim_differential as differential

authres = pytest.importorskip("authres")
BIN = differential.ROOT / "build/dev/bin"
VALUES = [b"example.com", b"joe+x@example.com", b"[192.0.2.1]", b"2001:db8::1", b"a b@example.com",
          b"x; dkim=pass", b'x"; dkim=pass header.d="bank.example', b"x\\", b"(x", b"x)", b"a@b@c",
          b"x\r\nX-Evil: 1", b"x\0y", "\u00e9".encode(), b"='?/", b"x" * 400, b'"' * 300]


@pytest.fixture(scope="module")
def engine():
    if not (BIN / "authres_ours").exists():
        pytest.skip(f"{BIN}/authres_ours is not built")
    one = differential.Engine(BIN / "authres_ours")
    yield one
    assert one.close() == 0


def field(engine, results):
    lines = ["mx.example.com"]
    for method, result, reason, properties in results:
        lines.append("\t".join([f"{method} {result}", reason.hex()]
                               + [w for name, value in properties for w in (name, value.hex())]))
    engine.send("field", "".join(line + "\n" for line in lines).encode())
    return engine.process.stdout.read(int(engine.process.stdout.readline())).decode("ascii")


def expected(value):
    """What a reader gets: cut at 255 bytes, unprintable bytes as question marks."""
    return "".join(chr(b) if 32 <= b < 127 else "?" for b in value[:255])


def unpair(text):
    """authres leaves quoted pairs in a value as they stand."""
    return re.sub(r"\\(.)", r"\1", text)


def check(text, results):
    assert text.endswith("\r\n") and "\r\n" not in text[:-2].replace("\r\n\t", "")
    parsed = authres.AuthenticationResultsHeader.parse(text.strip())
    assert parsed.authserv_id == "mx.example.com"
    assert len(parsed.results) == len(results)
    for got, (method, result, reason, properties) in zip(parsed.results, results):
        assert (got.method, got.result) == (method, result)
        assert unpair(got.reason or "") == expected(reason)
        assert [f"{p.type}.{p.name}" for p in got.properties] == [name for name, _ in properties]
        for p, (_, value) in zip(got.properties, properties):
            assert unpair(p.value) == expected(value), (text, value)


def test_plain(engine):
    results = [("spf", "pass", b"", [("smtp.mailfrom", b"joe@example.com")]),
               ("dkim", "fail", b"the body was changed",
                [("header.d", b"example.com"), ("header.s", b"s2026"),
                 ("header.a", b"rsa-sha256"), ("header.b", b"ab/cd+e=")]),
               ("dmarc", "pass", b"", [("header.from", b"example.com"), ("policy.dmarc", b"reject")]),
               ("auth", "pass", b"", [("smtp.auth", b"alice")]),
               ("iprev", "pass", b"", [("policy.iprev", b"2001:db8::1")])]
    text = field(engine, results)
    check(text, results)
    assert max(len(line.expandtabs(8)) for line in text.split("\r\n")) <= 78
    assert field(engine, []) == "Authentication-Results: mx.example.com; none\r\n"


def test_hostile(engine):
    """One hostile value a result, as its last: authres stops reading behind a quoted value."""
    r = random.Random(8601)
    for _ in range(500):
        results = [(r.choice(["spf", "dkim", "dmarc"]), r.choice(["pass", "fail"]),
                    r.choice([b"", b"words", r.choice(VALUES)]),
                    r.choice([[], [("header.d", b"example.com"), ("header.a", b"rsa-sha256")]])
                    + [(r.choice(["header.s", "smtp.helo", "smtp.mailfrom"]), r.choice(VALUES))])
                   for _ in range(r.randint(1, 4))]
        check(field(engine, results), results)

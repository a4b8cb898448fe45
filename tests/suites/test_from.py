"""
2,505 malformed From lines (emailtesttools) through our header parser (HDR-01 to HDR-03).

What we take, Python's default parser must read the same way: its one author domain is ours. All
else is refused; nothing in between, since two readers with two answers are what the set exploits.
"""
import email
import email.utils
import json
import os
import subprocess

import pytest

import spf_engine

BINARY = spf_engine.BINARY.with_name("header_cases")
SUITE = spf_engine.SUITES / "emailtesttools/fuzz.json"
REST = b"To: <v@victim.example>\r\nDate: Mon, 01 Jan 2024 00:00:00 +0000\r\n\r\n"


def octets(line):
    """The set's strings are bytes in some cases, UTF-8 in others."""
    try:
        data = line.encode("latin-1")
    except UnicodeEncodeError:
        data = line.encode("utf-8")
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def python_domains(header):
    message = email.message_from_bytes(header)
    pairs = email.utils.getaddresses(message.get_all("From", []))
    return sorted({a.rpartition("@")[2].lower() for _, a in pairs if "@" in a})


@pytest.fixture(scope="module")
def lines():
    if not BINARY.exists():
        pytest.skip(f"{BINARY} is not built")
    if not SUITE.exists():
        pytest.skip(f"no {SUITE}")
    return [octets(line) for line in json.loads(SUITE.read_text(encoding="utf-8"))]


def test_taken_as_python_reads_it_or_refused(lines):
    headers = [line + REST for line in lines]
    run = subprocess.run([BINARY], input=b"".join(h.hex().encode() + b"\n" for h in headers),
                         stdout=subprocess.PIPE, check=True, timeout=60)
    answers = run.stdout.decode("latin-1").splitlines()
    assert len(answers) == len(headers) == 2505
    taken, wrong = 0, []
    for header, answer in zip(headers, answers):
        code, *domains = answer.split("\t")
        if code != "0":
            continue
        taken += 1
        if sorted(set(domains)) != python_domains(header):
            wrong.append(f"{header!r}: ours {domains}, Python's {python_domains(header)}")
    assert not wrong, "\n".join(wrong[:20])
    assert 0 < taken < len(headers)
    if "POSTERN_FIGURES" in os.environ:
        with open(os.environ["POSTERN_FIGURES"], "a", encoding="utf-8") as f:
            f.write(f"malformed From lines refused\t{len(headers) - taken} of {len(headers)}\t"
                    "emailtesttools; the others are read as Python's parser reads them\n")

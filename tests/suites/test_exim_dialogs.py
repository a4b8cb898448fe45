"""Client dialogues of the Exim test suite: what any SMTP server must answer, without Exim's ACLs.

The reply codes are compared: 2xx and 3xx in full, refusals by their first digit, since which 5xx
a server picks is its own affair. LEFT_OUT says why for every group that is not played; a group
in neither table fails the count. The last of them are listed in the figures of tests/run.
"""
import os
import re
import time

import pytest

from lab import smtp

# Most dialogues send mails without a header; where the header matters it is the strict listener.
GATE, STRICT, GATE6 = "192.0.2.36", "192.0.2.37", "2001:db8::36"
SERVER, CLIENT = "198.51.100.36", "192.0.2.71"
CONFIG = f"""\
hostname "mx.example.com"
resolver "192.0.2.53:53" trust "trust.key"
listen inbound on "{GATE}:25"    header rules off
listen inbound on "{STRICT}:25"
listen inbound on "[{GATE6}]:25" header rules off
domain "test.ex"   deliver to "{SERVER}:25"
domain "y.test.ex" deliver to "{SERVER}:25"
inbound {{
    reject if recipient is "bad_domain@test.ex"
    accept
}}
"""
LEFT_OUT = {
    "Exim's access rules decide (who is refused, delayed, quota, submission mode)":
        "0022 0035 0251 0314 0439 0458 0556 0583 0597 0605 0609 0612 0629 0630 0631 3000 3415"
        " 4506-09 5703 5709 9402",
    "a limit set for this test alone (header size, commands before EHLO)": "0214-01 0637 4506-06",
    "PIPELINING or SMTPUTF8 is switched off for this client": "0300-04 0300-07 0300-08 4201-03",
    "an early talker is waited for before the greeting; our greeting does not wait": "0300-09",
    "a domain of one label, which cannot be declared": "0420 4151 4162",
    "another domain for each mail": "0618 4040",
    "EXPN, ETRN and ATRN are not offered": "0196 0287 0639 1148",
    "XCLIENT is for listed peers: tests/unit/smtp_xclient_test.c": "4032 4034",
    "CHUNKING, PRDR, LIMITS and PIPECONNECT are not offered":
        "0900 0901 0908 4050 4512 4519 4532 4539 4710 5500 5590",
    "Exim's extension to switch synchronisation checks or PIPELINING off": "0301 0549",
    "TLS: Exim's client starts it by its own words; tests/live has ours":
        "1101 1102 1103 1104 1105 1106 1107 1108 1110 1111 1112 1114 1115 1116 1199 2002 2014 2024"
        " 2029 2034 2036 2102 2114 2124 2132 2136 2150 3450 3453 3454 3460 3463 3464 4211 4221 4520"
        " 4521 4522 4523 4524 4526 4528 4529 5600 5610 5650 5680 5711 5721",
    "AUTH is offered outbound only, by other mechanisms": "3600 3720 3721 3800 3820 9350",
    "PROXY protocol: tests/live/test_proxy.py": "4030",
    "ARC, and DKIM or DMARC results inside Exim's log":
        "4504 4508 4509 4517 4560 4561 4562 4563 4565 4566 4600 4601 4608 4650 4690",
    "waits for a second process of the script": "0564 0581 0586 1006",
    "Sieve": "4193",
    "a label with a capital is no U-label (RFC 5890 2.3.2.1); Exim maps it": "4201-02",
}
# What a strict server answers otherwise than Exim does, and why: (file, index of the reply).
DIFFERENT = {
    ("0214-02", 1): ("5", "a line of 11,000 octets is no command (SRV-05); Exim takes 16,384"),
    ("0460-01", 5): ("5", "a bare LF in a header refuses the mail (SRV-01); Exim repairs it"),
    ("0460-01", 9): ("5", "the same"),
    ("4502-05", 5): ("5", "a bare CR in the body refuses the mail (SRV-01)"),
    ("1001-01", 16): ("250", "the name in EHLO decides nothing by itself (RFC 5321 4.1.4)"),
}


def left_out():
    return {group: reason for reason, groups in LEFT_OUT.items() for group in groups.split()}


def is_in(name, groups):
    return name in groups or name[:4] in groups


def unescape(text):
    return re.sub(rb"\\(x[0-9a-fA-F]{2}|.)", lambda m: {b"r": b"\r", b"n": b"\n"}.get(
        m[1], bytes([int(m[1][1:], 16)]) if len(m[1]) == 3 else m[1]), text)


def steps_of(path):
    """("send", bytes), ("expect", code), ("closed",) or ("sleep", seconds), in order."""
    steps = []
    for line in path.read_bytes().splitlines():
        if line.startswith(b"#CMD"):
            continue
        line = line.replace(b"HOSTIPV4", CLIENT.encode()).replace(b"HOSTIPV6", b"2001:db8::71")
        if line.startswith(b"???*"):
            steps.append(("closed",))
        elif line.startswith(b"???"):
            code = line[3:].strip()
            # "250-" is a line of a reply whose last line is expected, too.
            if code[3:4] != b"-":
                steps.append(("expect", code[:3].strip().decode()))
        elif line.startswith(b"+++"):
            steps.append(("sleep", min(float(line[3:].split()[0]), 2)))
        elif line.startswith(b">>> "):
            steps.append(("send", unescape(line[4:])))
        else:
            steps.append(("send", unescape(line) + b"\r\n"))
    # Empty lines at the end are the file's, not the client's.
    while steps and steps[-1] == ("send", b"\r\n"):
        steps.pop()
    return one_reply_a_command(steps)


def one_reply_a_command(steps):
    """The scripts expect each line of a long reply; what exceeds the commands is such lines."""
    merged, commands = [], 1
    for step in steps:
        if step[0] == "send":
            commands = step[1].count(b"\r\n")
        elif step[0] == "expect":
            if merged and merged[-1] == step and commands <= 0:
                continue
            commands -= 1
        merged.append(step)
    return merged


def agrees(expected, got):
    if len(expected) == 3 and expected[0] in "23":
        return str(got) == expected
    return str(got)[0] == expected[0]


def play(path, address, source):
    seen = []
    with smtp.Client(address, source=source, greeting=False, timeout=15) as client:
        for step in steps_of(path):
            if step[0] == "sleep":
                time.sleep(step[1])
            elif step[0] == "send":
                try:
                    client.send(step[1])
                except OSError:
                    seen.append("closed")
            elif step[0] == "closed":
                assert client.reply().code == 0, seen
            else:
                reply = client.reply()
                seen.append(reply)
                wanted, why = DIFFERENT.get((path.stem, len(seen) - 1), (step[1], ""))
                assert agrees(wanted, reply.code), f"wanted {wanted} {why}: {seen}"
    return len(seen)


@pytest.fixture(scope="module")
def gate(gateway_module):
    with smtp.Server(SERVER):
        yield gateway_module(CONFIG)


@pytest.fixture(scope="module")
def folder(suite):
    return suite("exim-dialogs/client")


def pytest_generate_tests(metafunc):
    """One test for each dialogue that is played; one that is skipped where the set is absent."""
    if "dialogue" in metafunc.fixturenames:
        from lab import proc
        found = sorted(p.stem for p in (proc.suites_dir() / "exim-dialogs/client").glob("*.txt"))
        gone = left_out()
        metafunc.parametrize("dialogue", [n for n in found if not is_in(n, gone)] or ["absent"])


def test_every_group_is_accounted_for(folder):
    names = sorted(p.stem for p in folder.glob("*.txt"))
    gone = left_out()
    played = [n for n in names if not is_in(n, gone)]
    assert len(names) == 414
    assert not {g for g in gone if not any(n.startswith(g) for n in names)}
    if "POSTERN_FIGURES" in os.environ:
        with open(os.environ["POSTERN_FIGURES"], "a", encoding="utf-8") as f:
            f.write(f"exim-dialogs played\t{len(played)} of {len(names)}\tclient dialogues\n")
            for reason, groups in LEFT_OUT.items():
                count = sum(1 for n in names if is_in(n, groups.split()))
                f.write(f"exim-dialogs left out\t{count}\t{reason}\n")


def test_dialogue(gate, folder, dialogue):
    address, source = GATE, CLIENT
    if dialogue.startswith("1001"):
        address, source = GATE6, "2001:db8::71"
    elif dialogue.startswith("0482"):
        address = STRICT
    played = play(folder / f"{dialogue}.txt", address, source)
    assert played or "???" not in (folder / f"{dialogue}.txt").read_text(errors="replace")
    assert not gate.events("child-exit")

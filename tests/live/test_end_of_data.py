"""SMG-01 to SMG-03: 72 ends of data, through the gateway, to a byte-exact server.

Only CRLF.CRLF ends a message. What holds a bare CR, a bare LF or NUL is refused at the real end
and nothing of it is passed on; what follows is never taken for commands.
"""
import csv
import time

import pytest

from lab import proc, smtp

GATE, SERVER, CLIENT = "192.0.2.27", "198.51.100.7", "192.0.2.70"
SMUGGLED = (b"MAIL FROM:<smuggled@sender.example>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n"
            b"Subject: SMUGGLED\r\n\r\nsecond")


def variants():
    with open(proc.REPOSITORY / "tests/data/smtp-smuggling/eod_variants.tsv", newline="",
              encoding="ascii") as f:
        return [(row["id"], bytes.fromhex(row["hex"]), verdict(row["expected"]))
                for row in csv.DictReader(f, delimiter="\t")]


def verdict(expected):
    if expected.startswith("END (only"):
        return "ends"
    if expected.startswith("END preceded"):
        return "ends, refused"
    if "ordinary text line" in expected:
        return "text"
    assert expected.startswith("NOT end; refuse"), expected
    return "refused"


VARIANTS = variants()


def test_the_table_is_whole():
    counts = {}
    for _, _, what in VARIANTS:
        counts[what] = counts.get(what, 0) + 1
    assert counts == {"ends": 1, "ends, refused": 1, "text": 2, "refused": 68}


@pytest.fixture(scope="module")
def sink():
    with smtp.Server(SERVER) as server:
        yield server


@pytest.fixture(scope="module")
def gate(gateway_module, sink, first_gate):
    return gateway_module(first_gate.replace("192.0.2.25", GATE).replace("198.51.100.5", SERVER))


def head(name):
    return (f"From: <alice@sender.example>\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
            f"Subject: {name}\r\n\r\nbefore").encode()


def play(begin_with, sequence, at):
    """Sends begin_with, the sequence and the smuggled rest, cut inside the sequence.

    Returns every reply after 354: the wanted one first, then what was never asked for.
    """
    with smtp.Client(GATE, source=CLIENT) as client:
        client.command("EHLO client.example")
        assert client.command("MAIL FROM:<alice@sender.example>").code == 250
        assert client.command("RCPT TO:<bob@example.com>").code == 250
        assert client.command("DATA").code == 354
        whole = begin_with + sequence + SMUGGLED + smtp.END
        begin = len(begin_with)
        end = begin + len(sequence)
        cuts = range(begin, end + 1) if at == "every byte" else [] if at is None else [begin + at]
        last = 0
        try:
            for cut in cuts:
                client.send(whole[last:cut])
                last = cut
                # Long enough for the gateway to read what is there before the rest comes.
                time.sleep(0.01)
            client.send(whole[last:])
            return [client.reply()] + client.extra(0.05)
        except (BrokenPipeError, ConnectionResetError):
            return [smtp.Reply(b"")]


def judge(what, name, sequence, at, sink):
    before = len(sink.mails)
    replies = play(head(name), sequence, at)
    new = sink.mails[before:]
    where = f"{name} cut at {at}: {replies}"
    for mail in new:
        rest = mail.data.replace(b"\r\n", b"")
        assert not any(bad in rest for bad in (b"\r", b"\n", b"\0")), where
    first = replies[0].code
    if what == "ends":
        assert first == 250, where
        assert new[0].message.endswith(b"\r\nbefore\r\n"), where
        assert all(b"SMUGGLED" not in m.message or m.sender == "smuggled@sender.example"
                   for m in new), where
    elif what == "ends, refused":
        assert first // 100 == 5 or first == 0, where
        assert not [m for m in new if m.sender == "alice@sender.example"], where
    elif what == "text":
        assert first == 250 and [r.code for r in replies[1:]] in ([], [0]), where
        assert len(new) == 1 and new[0].message.endswith(
            smtp.unstuffed(head(name) + sequence + SMUGGLED + smtp.END)), where
    else:
        assert first // 100 == 5 or first == 0, where
        assert [r.code for r in replies[1:]] in ([], [0]), where
        assert new == [], where


@pytest.mark.parametrize("name, sequence, what", VARIANTS, ids=[v[0] for v in VARIANTS])
def test_variant(gate, sink, name, sequence, what):
    judge(what, name, sequence, None, sink)


@pytest.mark.slow
@pytest.mark.parametrize("name, sequence, what", VARIANTS, ids=[v[0] for v in VARIANTS])
def test_variant_cut(gate, sink, name, sequence, what):
    """Cut at every offset of the sequence, and byte by byte: the same result."""
    for at in (*range(len(sequence) + 1), "every byte"):
        judge(what, name, sequence, at, sink)

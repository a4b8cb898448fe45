"""The demonstration itself; contrib/quickstart runs it inside the laboratory of tests/lib."""
import base64
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import signal
import sys
import textwrap
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests/lib"))

from lab import dns, postern, proc, smtp  # noqa: E402
from lab.postfix import Postfix  # noqa: E402

# Where configuration and log of the demonstration are kept.
KEPT = proc.REPOSITORY / "build/quickstart"
GATE, OUT, SENDER = "192.0.2.25", "192.0.2.26", "192.0.2.70"
PROTECTED, REMOTE = "198.51.100.5", "198.51.100.9"
ZONES = {
    "example.com": f"@ MX 10 mx\nmx A {GATE}\n",
    "sender.example": f'@ MX 10 mail\nmail A {SENDER}\n@ TXT "v=spf1 ip4:{SENDER} -all"\n',
    "remote.example": f"@ MX 10 mx\nmx A {REMOTE}\n",
    "down.example": "@ MX 10 mx\nmx A 198.51.100.66\n",  # where nobody is
    "bank.example": '@ A 192.0.2.99\n@ TXT "v=spf1 -all"\n_dmarc TXT "v=DMARC1; p=reject"\n',
}
# The test file that every scanner knows, in two parts, so that none finds it in this script.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}" + rb"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
SIGNATURE = f"{hashlib.md5(EICAR).hexdigest()}:{len(EICAR)}:Eicar-Test\n"
WITH_VIRUS = ("--b\r\nContent-Type: text/plain\r\n\r\nSee the invoice.\r\n"
              "--b\r\nContent-Type: application/octet-stream; name=invoice.com\r\n"
              "Content-Transfer-Encoding: base64\r\n\r\n"
              f"{base64.b64encode(EICAR).decode()}\r\n--b--\r\n")


@dataclasses.dataclass
class Row:
    """One mail. code: the answer that it should get; arrives: the server that should have it, or
    "queue".

    author: the address in From, where it is not the sender; signed: by DKIM, as that domain.
    """

    title: str
    to: str
    code: int
    arrives: str = ""
    sender: str = "alice@sender.example"
    author: str = ""
    body: str = "Hello.\r\n"
    headers: dict = dataclasses.field(default_factory=dict)
    source: str = SENDER
    gate: str = GATE
    signed: str = ""


ROWS = [
    Row("a clean mail in", to="bob@example.com", code=250, arrives="protected"),
    Row("a wrong destination in", to="bob@elsewhere.example", code=550),
    Row("a virus in", to="bob@example.com", code=554, body=WITH_VIRUS,
        headers={"mime_version": "1.0", "content_type": 'multipart/mixed; boundary="b"'}),
    Row("a forged author in", to="bob@example.com", code=550, author="director@bank.example"),
    Row("our own name from outside", to="bob@example.com", code=550, author="boss@hr.example.com"),
    Row("a mail out, signed", to="carol@remote.example", code=250, arrives="remote",
        sender="bob@example.com", source=PROTECTED, gate=OUT, signed="example.com"),
    Row("a mail out, nobody there", to="dave@down.example", code=250, arrives="queue",
        sender="bob@example.com", source=PROTECTED, gate=OUT),
]


def queued(gate):
    """What `postern queue` tells of the mails in custody: one dictionary each."""
    text = proc.run(postern.binary("postern"), "-f", gate.config, "queue", "list", "--json").stdout
    return [json.loads(line) for line in text.splitlines()]


def play(row, gate, servers):
    """Sends one mail; returns the row's cells and whether it came out as it should."""
    before = len(gate.events())
    message = smtp.message(row.title, row.author or row.sender, row.to, row.body, **row.headers)
    with smtp.Client(row.gate, source=row.source) as client:
        answer = client.mail(row.sender, [row.to], message, helo="mail.sender.example").last
        client.command("QUIT")
    decided = [e.rule for e in gate.events()[before:] if e.rule]
    found = {}
    for name, server in servers.items():
        if name == row.arrives and answer.code == 250:
            server.wait_mails(1, where=lambda m: m["Subject"] == row.title)
        found[name] = [m for m in server.mails() if m["Subject"] == row.title]
    arrived = [name for name, mails in found.items() if mails]
    if any(row.to in str(mail) for mail in queued(gate)):
        arrived.append("queue")
    good = (answer.code == row.code and arrived == ([row.arrives] if row.arrives else [])
            and all(len(mails) <= 1 for mails in found.values()))
    where = f"at the {arrived[0]} server" if arrived else "nothing"
    if arrived == ["queue"]:
        where = "nothing yet: in custody, tried again later"
    elif arrived and row.signed:
        signature = found[arrived[0]][0]["DKIM-Signature"] or ""
        where += f", signed by {row.signed}" if f"d={row.signed};" in signature else ", UNSIGNED"
        good = good and f"d={row.signed};" in signature
    author = f" as {row.author}" if row.author else ""
    cells = (f"{row.title}: {row.sender}{author} to {row.to}", str(answer).split(" | ")[-1],
             decided[-1] if decided else "-", where)
    return cells, good


def table(rows):
    """Prints rows of four cells under a head, each cell folded to its width."""
    widths = (34, 36, 22, 24)
    for cells in [("sent", "answered", "decided by", "arrived"), *rows]:
        folded = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, widths)]
        for i in range(max(map(len, folded))):
            print("  ".join((lines[i] if i < len(lines) else "").ljust(width)
                            for lines, width in zip(folded, widths)).rstrip())
        print("-" * (sum(widths) + 6) if cells[0] == "sent" else "")


def by_hand(gate, over):
    into = f"nsenter -t {os.environ['POSTERN_LAB_PID']} -m -n -u"
    print(f"The gateway runs until Ctrl-C. Its log: {KEPT / gate.log_path.name}\n"
          f"Its configuration: {KEPT / gate.config.name}\nTry it from another shell:\n\n"
          f"  {into} swaks --server {GATE} --local-interface {SENDER} \\\n"
          "      --from alice@sender.example --to bob@example.com\n", flush=True)
    over.wait()


def main():
    # A Ctrl-C ends the waiting only; it must not break the orderly end that follows.
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    once = "--once" in sys.argv
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    # Below /root the gateway's account could not read its files by their own path.
    home = proc.LAB / "quickstart"
    home.mkdir()
    proc.run("mount", "--bind", KEPT, home)
    print("quickstart: starting DNS, mail servers and the gateway ...", flush=True)
    config = (HERE / "quickstart.conf").read_text(encoding="utf-8")
    gate = postern.Postern(config.replace("/var/spool/postern/queue", str(home / "spool")),
                           {"signatures/demo.hdb": SIGNATURE}, home=home)
    keygen = proc.run(postern.binary("postern"), "dkim", "keygen", "example.com", "s1", "rsa2048",
                      home / "s1.pem").stdout
    # The first line is the record for the zone, the second one the setting.
    ZONES["example.com"] += keygen.splitlines()[0] + "\n"
    zone = dns.Dns(ZONES, {SENDER: "mail.sender.example", GATE: "mx.example.com",
                           OUT: "mx.example.com"}).start()
    gate.add_file("trust.key", zone.trust_file)
    servers = {"protected": Postfix("protected", PROTECTED, domains=["example.com"]),
               "remote": Postfix("remote", REMOTE, domains=["remote.example"])}
    for server in servers.values():
        server.start()
    gate.start()
    played = [play(row, gate, servers) for row in ROWS]
    print()
    table([cells for cells, _ in played])
    wrong = [cells[0] for cells, good in played if not good]
    if not once:
        by_hand(gate, over)
    gate.stop()
    for server in servers.values():
        server.stop()
    zone.stop()
    for title in wrong:
        print(f"quickstart: not as it should be: {title}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""The demonstration itself; contrib/quickstart runs it inside the laboratory of tests/lib."""
import dataclasses
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

GATE, PROTECTED, REMOTE, SENDER = "192.0.2.25", "198.51.100.5", "198.51.100.9", "192.0.2.70"
ZONES = {
    "example.com": f"@ MX 10 mx\nmx A {GATE}\n",
    "sender.example": f'@ MX 10 mail\nmail A {SENDER}\n@ TXT "v=spf1 ip4:{SENDER} -all"\n',
    "remote.example": f"@ MX 10 mx\nmx A {REMOTE}\n",
}


@dataclasses.dataclass
class Row:
    """One mail. code: the answer that it should get; arrives: the server that should have it."""

    title: str
    to: str
    code: int
    arrives: str = ""
    sender: str = "alice@sender.example"
    body: str = "Hello.\r\n"
    source: str = SENDER


ROWS = [
    Row("a clean mail in", to="bob@example.com", code=250, arrives="protected"),
    Row("a wrong destination in", to="bob@elsewhere.example", code=550),
]


def play(row, gate, servers):
    """Sends one mail; returns the row's cells and whether it came out as it should."""
    before = len(gate.events())
    message = smtp.message(row.title, row.sender, row.to, row.body)
    with smtp.Client(GATE, source=row.source) as client:
        answer = client.mail(row.sender, [row.to], message, helo="mail.sender.example").last
        client.command("QUIT")
    decided = [e.rule for e in gate.events()[before:] if e.rule]
    found = {}
    for name, server in servers.items():
        if name == row.arrives and answer.code == 250:
            server.wait_mails(1, where=lambda m: m["Subject"] == row.title)
        found[name] = [m for m in server.mails() if m["Subject"] == row.title]
    arrived = [name for name, mails in found.items() if mails]
    good = (answer.code == row.code and arrived == ([row.arrives] if row.arrives else [])
            and all(len(mails) <= 1 for mails in found.values()))
    cells = (f"{row.title}: {row.sender} to {row.to}", str(answer).split(" | ")[-1],
             decided[-1] if decided else "-",
             f"at the {arrived[0]} server" if arrived else "nothing")
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
    print(f"The gateway runs until Ctrl-C. Its log: {gate.log_path}\n"
          f"Its configuration: {gate.config}\nTry it from another shell:\n\n"
          f"  {into} swaks --server {GATE} --local-interface {SENDER} \\\n"
          "      --from alice@sender.example --to bob@example.com\n", flush=True)
    over.wait()


def main():
    # A Ctrl-C ends the waiting only; it must not break the orderly end that follows.
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    once = "--once" in sys.argv
    home = proc.REPOSITORY / "build/quickstart"
    shutil.rmtree(home, ignore_errors=True)
    print("quickstart: starting DNS, mail servers and the gateway ...", flush=True)
    zone = dns.Dns(ZONES, {SENDER: "mail.sender.example", GATE: "mx.example.com"}).start()
    servers = {"protected": Postfix("protected", PROTECTED, domains=["example.com"]),
               "remote": Postfix("remote", REMOTE, domains=["remote.example"])}
    for server in servers.values():
        server.start()
    gate = postern.Postern((HERE / "quickstart.conf").read_text(encoding="utf-8"),
                           {"trust.key": zone.trust_file}, home=home).start()
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

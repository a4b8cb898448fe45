"""sites.py PLAN OUT: many remote sites in one process, for the benchmarks waits and fanout.

PLAN is JSON, [[address, kind], ...]; a site that is dead has no entry. The recipients' local parts
are r0, r1, ...; what a site says depends on its kind and on that number:

  fine      takes everything
  refusing  550 to each fourth recipient at RCPT
  slow      answers the final dot after two seconds
  waits     answers the dot after 1 s (five of ten), 5 s (three) or 20 s (two)
  own       the senders' own server: takes everything, each mail into a file of OUT

OUT/taken has a line a transaction, "clock site r0,r1,...", written before the reply to the dot;
OUT/refused "clock site r3" for each 550. OUT/ready is there when all listen.
"""
import asyncio
import json
import pathlib
import re
import resource
import sys
import time

SLOW_S = 2.0
WAITS = (1.0,) * 5 + (5.0,) * 3 + (20.0,) * 2
_NUMBER = re.compile(rb"<r(\d+)@")
CAPABILITIES = b"250-site.example\r\n250-PIPELINING\r\n250-SIZE 100000000\r\n250-8BITMIME\r\n" \
               b"250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n"


def refuses(number):
    """Whether a refusing site does not have this recipient."""
    return number // 500 % 4 == 0


class Sites:
    def __init__(self, out):
        self.out = out
        self.taken = open(out / "taken", "a", encoding="ascii", buffering=1)
        self.refused = open(out / "refused", "a", encoding="ascii", buffering=1)
        self.own = 0

    def take(self, kind, address, rcpts, mail):
        if kind == "own":
            self.own += 1
            part = self.out / f"own-{self.own}.part"
            part.write_bytes(mail)
            part.rename(part.with_suffix(".eml"))
        else:
            numbers = ",".join(f"r{n}" for n in rcpts)
            self.taken.write(f"{time.time():.6f} {address} {numbers}\n")

    async def serve(self, kind, address, reader, writer):
        writer.write(b"220 site.example ESMTP\r\n")
        rcpts = []
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(CAPABILITIES)
            elif verb == b"RCPT":
                found = _NUMBER.search(line)
                number = int(found[1]) if found else 0
                if kind == "refusing" and refuses(number):
                    self.refused.write(f"{time.time():.6f} {address} r{number}\n")
                    writer.write(b"550 5.1.1 no such mailbox here\r\n")
                else:
                    rcpts.append(number)
                    writer.write(b"250 2.1.5 fine\r\n")
            elif verb == b"DATA" and not rcpts:
                writer.write(b"554 5.5.1 no valid recipients\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                await writer.drain()
                await self.data(kind, address, rcpts, reader, writer)
                rcpts = []
            elif verb == b"QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                break
            else:
                if verb in (b"MAIL", b"RSET"):
                    rcpts = []
                writer.write(b"250 2.0.0 fine\r\n")
        writer.close()

    async def data(self, kind, address, rcpts, reader, writer):
        lines = []
        while (line := await reader.readline()) != b".\r\n":
            if not line:
                return
            lines.append(line[1:] if line.startswith(b".") else line)
        if kind == "slow":
            await asyncio.sleep(SLOW_S)
        elif kind == "waits":
            await asyncio.sleep(WAITS[rcpts[0] % len(WAITS)])
        self.take(kind, address, rcpts, b"".join(lines))
        writer.write(b"250 2.0.0 taken\r\n")

    async def session(self, kind, address, reader, writer):
        try:
            await self.serve(kind, address, reader, writer)
        except (ConnectionError, ValueError):
            writer.close()


async def main(plan, out):
    sites = Sites(out)
    servers = []
    for address, kind in plan:
        def session(reader, writer, kind=kind, address=address):
            return sites.session(kind, address, reader, writer)
        servers.append(await asyncio.start_server(session, address, 25, backlog=1024))
    (out / "ready").touch()
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        asyncio.run(main(json.loads(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2])))
    except KeyboardInterrupt:
        pass

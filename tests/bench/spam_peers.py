"""The filters that ours is measured beside, each in an overlay root of the laboratory.

Each is told truth in the order of the stream and says a number of each mail. Mails are files that
are seen in every root under the same name.
"""
import concurrent.futures
import http.client
import itertools
import json
import re
import socket
import subprocess
import time

from lab import proc
from lab.root import Root
from lab.rspamd import Rspamd
from lab.spamassassin import SpamAssassin

LEARN_S, ONLINE_S, EACH_S = 900, 1200, 60
BOGOFILTER_CF = "terse_format=%1.1c %p\nspamicity_formats=%0.16f, %0.16f, %0.16f\n"
UNKNOWN = 0.52  # what bogofilter says of a mail of which it knows no word (its robx)
# Runs in the root: a line "s PATH", "n PATH" or "- PATH" for each mail; each is judged, then told,
# if it is to be. (In its bulk mode bogofilter prints too few digits to rank by.)
ONLINE = """\
import subprocess, sys
base = ["bogofilter", "-c", "/tmp/bogofilter.cf", "-d", sys.argv[1], "-I"]
for line in open(sys.argv[2]):
    kind, path = line.rstrip("\\n").split(" ", 1)
    said = subprocess.run([*base, path, "-t"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout.decode().split()
    print(said[1] if len(said) == 2 else "-", flush=True)
    if kind != "-":
        subprocess.run([*base, path, "-" + kind], check=True, stdout=subprocess.DEVNULL)
"""


def listing(name, mails):
    """A file with a path a line, for those tools that read one."""
    path = proc.LAB / name
    path.write_text("".join(f"{mail.path}\n" for mail in mails), encoding="utf-8")
    return path


def read(mail):
    with open(mail.path, "rb") as f:
        return f.read()


def ask_all(mails, ask):
    """{id: (score, is_spam)} by two at once."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return {mail.id: (score, mail.spam)
                for mail, score in zip(mails, pool.map(lambda one: ask(read(one)), mails))}


def forget(root, folder, *names):
    """What an earlier stream has taught, and that it has: this one begins with nothing."""
    for name in names:
        for path in root.file(folder).glob(name):
            path.unlink()


class Bogofilter:
    name = "bogofilter"
    levels = {"0.99": 0.99}
    runs = itertools.count()

    def __init__(self):
        self.root = Root.get("bogofilter", "bogofilter-bdb")
        self.root.write("/tmp/bogofilter.cf", BOGOFILTER_CF)
        self.root.write("/tmp/online.py", ONLINE)

    def folder(self):
        """A new one, for words of a run of its own."""
        path = f"/tmp/words{next(self.runs)}"
        self.root.file(path).mkdir()
        return path

    def one_by_one(self, folder, lines, mails, timeout):
        todo = proc.LAB / f"{folder.rpartition('/')[2]}.todo"
        todo.write_text("".join(lines), encoding="utf-8")
        said = self.root.run("python3", "/tmp/online.py", folder, todo, timeout=timeout).stdout
        said = said.split()
        if len(said) != len(mails):
            raise proc.LabError(f"bogofilter judged {len(said)} of {len(mails)} mails")
        return {mail.id: (UNKNOWN if one == "-" else float(one), mail.spam)
                for mail, one in zip(mails, said)}

    def online(self, mails):
        """Each judged, then told: two processes a mail, as a delivery agent would start them."""
        return self.one_by_one(self.folder(), (f"{'s' if mail.spam else 'n'} {mail.path}\n"
                                               for mail in mails), mails, ONLINE_S)

    def batch(self, taught, judged):
        folder = self.folder()
        for spam, option in ((False, "-n"), (True, "-s")):
            with open(listing(f"{folder.rpartition('/')[2]}.list",
                              [m for m in taught if m.spam is spam]), "rb") as names:
                self.root.run("bogofilter", "-d", folder, "-b", option, stdin=names,
                              timeout=LEARN_S)
        return self.one_by_one(folder, (f"- {mail.path}\n" for mail in judged), judged, LEARN_S)


class Assassin:
    """SpamAssassin's rules of the package, without the network; with Bayes where it was taught."""

    levels = {"5": 5.0}

    def __init__(self, taught):
        self.name = "SpamAssassin rules" + (" + Bayes" if taught else "")
        self.taught, self.refused = taught, 0

    def judge(self, mails):
        peer = SpamAssassin(children=2, bayes=bool(self.taught))
        forget(peer.root, "/var/lib/spamassassin", "bayes_*")
        peer.start()
        try:
            for spam, kind in ((False, "ham"), (True, "spam")):
                names = listing(f"assassin.{kind}", [m for m in self.taught if m.spam is spam])
                if self.taught:
                    peer.learn(kind, "-f", names)
            return ask_all(mails, lambda mail: self.ask(peer, mail))
        finally:
            peer.stop()

    @staticmethod
    def ask(peer, mail):
        """The protocol of spamc, without a process for each mail."""
        with socket.create_connection((peer.address, peer.port), timeout=EACH_S) as s:
            s.sendall(b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % len(mail) + mail)
            s.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: s.recv(65536), b"")).decode("latin-1")
        found = re.search(r"^Spam: \w+ ; (-?[0-9.]+) /", answer, re.M)
        if found is None:
            raise proc.LabError(f"spamd: {answer[:500]}\n{peer.log()[-2000:]}")
        return float(found.group(1))


REDIS = 6379
CONTROLLER = 11334
BAYES = {
    "redis.conf": f'servers = "127.0.0.1:{REDIS}";\n',
    "classifier-bayes.conf": 'backend = "redis"; autolearn = false; new_schema = true;\n',
    "worker-controller.inc": f'enabled = true; bind_socket = "127.0.0.1:{CONTROLLER}";\n'
                             'secure_ip = "127.0.0.1"; count = 1;\n',
}


class Rspamds:
    """Rspamd's rules of the package, without the network; with Bayes where it was taught."""

    levels = {"6": 6.0}

    def __init__(self, taught):
        self.name = "Rspamd rules" + (" + Bayes" if taught else "")
        self.taught, self.refused = taught, 0

    def judge(self, mails):
        peer = Rspamd(workers=2, packages=("redis-server",), local=BAYES if self.taught else None)
        forget(peer.root, "/var/lib/rspamd", "*.sqlite*", "*.db", "*.rrd")
        redis = None
        if self.taught:
            redis = peer.root.start("redis-server", "--port", REDIS, "--save", "", "--bind",
                                    "127.0.0.1", stdout=subprocess.DEVNULL)
            proc.wait_port("127.0.0.1", REDIS)
        try:
            peer.start()
            for mail in self.taught:
                self.learn(mail)
            return ask_all(mails, lambda mail: self.post(peer.port, "/checkv2", mail)["score"])
        finally:
            peer.stop()
            if redis is not None:
                proc.stop(redis, "redis-server")

    @staticmethod
    def post(port, path, mail):
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=EACH_S)
        try:
            link.request("POST", path, mail)
            answer = link.getresponse()
            return {"status": answer.status, **json.loads(answer.read() or b"{}")}
        finally:
            link.close()

    def learn(self, mail):
        """By its stock settings it refuses what it judges right already; how many is told."""
        said = self.post(CONTROLLER, "/learnspam" if mail.spam else "/learnham", read(mail))
        self.refused += said.get("status") != 200 or not said.get("success")


def timed(what, how):
    begun = time.monotonic()
    found = how()
    print(f"  {what}: {time.monotonic() - begun:.0f} s", flush=True)
    return found

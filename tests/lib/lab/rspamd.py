"""Rspamd as it is in Debian, in a root of its own: one scanning worker, on TCP and a unix socket.

Nothing beyond the machine is asked: lists in the DNS, fuzzy storages and maps by HTTP are off, so
that a score is the same in every laboratory.
"""
import json
import os
import pathlib
import shutil
import subprocess

from . import proc
from .root import CACHE, Root

PACKAGES = ("rspamd",)
PORT = 11333
# Hyperscan compiles the list of top-level domains for ten seconds of CPU: what came of it is kept
# beside Debian's archives, as Rspamd itself keeps it, and checks it, from start to start.
COMPILED = CACHE.parent / "rspamd"
# In local.d, each merged into the file of that name as it comes.
LOCAL = {
    "worker-normal.inc": 'bind_socket = "{address}:{port}";\n'
                         'bind_socket = "{socket} mode=0666 owner=_rspamd";\ncount = {workers};\n',
    "worker-controller.inc": "enabled = false;\n",
    "worker-proxy.inc": "enabled = false;\n",
    "logging.inc": 'type = "console"; level = "notice";\n',
    "options.inc": 'dns {{ nameserver = ["192.0.2.53"]; timeout = 0.2s; retransmits = 1; }}\n'
                   'tempdir = "/tmp";\nhistory_file = null;\nrrd = null;\n',
    **{f"{module}.conf": "enabled = false;\n" for module in (
        "rbl", "fuzzy_check", "phishing", "asn", "mid", "mx_check", "greylist", "ratelimit",
        "neural", "history_redis", "rspamd_update", "surbl", "maillist", "replies")},
}


class Rspamd:
    """packages: beside Rspamd's own (redis-server for a Bayes classifier). local: more of local.d,
    by file."""

    def __init__(self, address="127.0.0.1", workers=1, packages=(), local=None):
        self.root = Root.get("rspamd", *PACKAGES, *packages)
        self.address, self.port, self.workers = address, PORT, workers
        self.socket = "/run/rspamd/worker.sock"
        self.local = {**LOCAL, **(local or {})}
        self.log_path = proc.LAB / "rspamd.log"
        self.process = None

    def unix_path(self):
        """The worker's socket as it is seen from outside of the root."""
        return self.root.file(self.socket)

    def start(self):
        self.root.run("install", "-d", "-o", "_rspamd", "-g", "_rspamd", "/run/rspamd",
                      "/var/lib/rspamd")
        for name, text in self.local.items():
            self.root.write(f"/etc/rspamd/local.d/{name}", text.format(
                address=self.address, port=self.port, socket=self.socket, workers=self.workers))
        self._copy(COMPILED, self.root.file("/var/lib/rspamd"))
        with open(self.log_path, "ab") as log:
            self.process = self.root.start("rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd",
                                           stdout=log, stderr=log)
        try:
            proc.wait_port(self.address, self.port, timeout=120)
            proc.wait_until(self.answers, "an answer of Rspamd", 60, 0.1)
        except proc.LabError as e:
            raise proc.LabError(f"{e}\n{self.log()[-3000:]}") from None
        self._copy(self.root.file("/var/lib/rspamd"), COMPILED)
        return self

    @staticmethod
    def _copy(source, target):
        """Those that are not there; whole or not at all, since another laboratory may look."""
        target.mkdir(parents=True, exist_ok=True)
        for path in source.glob("*.hsm[cp]"):
            if not (target / path.name).exists():
                part = target / f"{path.name}.{os.environ['POSTERN_LAB_PID']}"
                shutil.copyfile(path, part)
                part.rename(target / path.name)

    def answers(self):
        done = self.root.run("rspamc", "-h", f"{self.address}:{self.port}", "--json", "symbols",
                             input="Subject: ready?\n\nx\n", text=True, check=False)
        return done.returncode == 0 and '"score"' in done.stdout

    def stop(self):
        if self.process is not None:
            proc.stop(self.process, "rspamd")
            self.process = None

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def ask(self, mail, *options):
        """What rspamc says of a mail (bytes), as its JSON; options: "-i", "192.0.2.1" and so on."""
        path = pathlib.Path(self.root.file("/tmp/asked.eml"))
        path.write_bytes(mail)
        done = self.root.run("rspamc", "-h", f"{self.address}:{self.port}", "--json", *options,
                             "symbols", "/tmp/asked.eml")
        return json.loads(done.stdout[done.stdout.index("{"):])

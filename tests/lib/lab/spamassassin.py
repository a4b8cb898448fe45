"""SpamAssassin's spamd as it is in Debian, in a root of its own, on TCP and on a unix socket.

The rules are those of the package, and none that asks the network (-L), so that a score is the same
in every laboratory.
"""
import re

from . import proc
from .root import Root

PACKAGES = ("spamassassin", "spamc", "spamd")
PORT = 783
# Debian's own, and beside it: no white list that a score would depend on the mails before by.
LOCAL = """\
use_bayes {bayes}
bayes_auto_learn 0
bayes_path /var/lib/spamassassin/bayes
use_txrep 0
report_safe 0
dns_available no
"""


class SpamAssassin:
    """local: more lines for local.cf; bayes: whether the classifier is on (it starts empty)."""

    def __init__(self, address="127.0.0.1", children=2, bayes=False, local="", packages=()):
        self.root = Root.get("spamassassin", *PACKAGES, *packages)
        self.address, self.port, self.children = address, PORT, children
        self.socket = "/run/spamd.sock"
        self.local = LOCAL.format(bayes=int(bayes)) + local
        self.log_path = proc.LAB / "spamd.log"
        self.process = None

    def unix_path(self):
        """The socket as it is seen from outside of the root."""
        return self.root.file(self.socket)

    def start(self):
        self.root.write("/etc/spamassassin/local.cf", self.local)
        self.root.run("install", "-d", "-o", "debian-spamd", "-g", "debian-spamd",
                      "/var/lib/spamassassin")
        with open(self.log_path, "ab") as log:
            self.process = self.root.start(
                "spamd", "-L", "-x", "-u", "debian-spamd", "-m", self.children, "-i", self.address,
                "-p", self.port, "-A", "0.0.0.0/0", f"--socketpath={self.socket}",
                "--socketmode=0666", "--syslog=stderr", stdout=log, stderr=log)
        try:
            proc.wait_port(self.address, self.port, timeout=120)
            proc.wait_until(self.unix_path().exists, "spamd's socket", 10)
        except proc.LabError as e:
            raise proc.LabError(f"{e}\n{self.log()[-3000:]}") from None
        return self

    def stop(self):
        if self.process is not None:
            proc.stop(self.process, "spamd", timeout=30)
            self.process = None

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def ask(self, mail):
        """The score that spamc has of a mail (bytes)."""
        done = self.root.run("spamc", "-d", self.address, "-p", self.port, "-c", "-t", 60,
                             input=mail, check=False)
        found = re.match(r"(-?[0-9.]+)/", done.stdout)
        if found is None:
            raise proc.LabError(f"spamc: {done.stdout}\n{self.log()[-2000:]}")
        return float(found.group(1))

    def learn(self, kind, *paths):
        """sa-learn --spam or --ham over files of this root, as spamd's user."""
        return self.root.run("setpriv", "--reuid=debian-spamd", "--regid=debian-spamd",
                             "--init-groups", "sa-learn", "-L", f"--{kind}", *paths, timeout=600)

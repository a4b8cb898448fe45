"""Sendmail, for the milter tests: a root, a configuration from m4, start and stop."""
import subprocess

from . import proc
from .peer import Peer
from .root import Root

# Everything for the domains given goes to one mailer that appends to the maildir by a program.
MC = """\
divert(0)dnl
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`debian')dnl
DOMAIN(`generic')dnl
define(`confDOMAIN_NAME', `{name}.lab.example')dnl
define(`confDONT_BLAME_SENDMAIL', `GroupWritableDirPathSafe')dnl
define(`confTO_IDENT', `0')dnl
define(`confLOG_LEVEL', `14')dnl
define(`confPID_FILE', `/run/sendmail.pid')dnl
undefine(`ALIAS_FILE')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`nouucp', `reject')dnl
DAEMON_OPTIONS(`Family=inet, Addr={address}, Port=25, Name=MTA')dnl
{milters}dnl
MAILER_DEFINITIONS
Msink, P=/usr/local/bin/lab-sink, F=lsDFMnPu, S=EnvFromL, R=EnvToL, T=DNS/RFC822/X-Unix,
	U=mail:mail, A=lab-sink $u
LOCAL_CONFIG
{classes}
MAILER(`smtp')dnl
LOCAL_RULE_0
R$+ < @ $=X . >		$#sink $: $1@$2
R$+ < @ $=X >		$#sink $: $1@$2
LOCAL_RULESETS
SLocal_check_rcpt
R$* @ $=X		$@ OK
R< $* @ $=X >		$@ OK
"""
SINK = """\
#!/bin/sh
# Writes one mail into the maildir; the mailer passes the recipient.
file=$(mktemp {maildir}/{name}/tmp/XXXXXXXX) || exit 75
{{ printf 'X-Original-To: %s\\n' "$1"; cat; }} > "$file" && mv "$file" {maildir}/{name}/new/
"""


class Sendmail(Peer):
    """domains: final destinations. milters: lines of INPUT_MAIL_FILTER."""

    def __init__(self, name, address, domains=(), milters=""):
        self.root = Root.get(f"sendmail-{name}", "sendmail-bin", "sendmail-cf", "m4")
        self.name, self.address = name, address
        self.logs = ("/lab-sendmail.log",)
        self.process = None
        self.mc = MC.format(name=name, address=address, milters=milters,
                            classes="".join(f"C{{X}}{d}\n" for d in domains))

    def start(self):
        proc.add_address(self.address)
        self.make_maildir()
        self.root.write("/usr/local/bin/lab-sink",
                        SINK.format(maildir=self.maildir, name=self.name), 0o755)
        self.root.write("/etc/mail/lab.mc", self.mc.replace("C{X}", "CX"))
        cf = self.root.run("m4", "/etc/mail/lab.mc").stdout
        self.root.write("/etc/mail/sendmail.cf", cf)
        for path in ("/var/spool/mqueue", "/run/sendmail"):
            self.root.file(path).mkdir(parents=True, exist_ok=True)
        log = open(self.root.file(self.logs[0]), "ab")
        self.process = self.root.start("/usr/libexec/sendmail/sendmail", "-bD", "-q2s", "-X",
                                       "/lab-sendmail.traffic", stdout=log,
                                       stderr=subprocess.STDOUT)
        log.close()
        try:
            proc.wait_port(self.address, 25)
        except proc.LabError as e:
            raise proc.LabError(f"{e}\n{self.log()[-3000:]}") from None
        return self

    def stop(self):
        if self.process is not None:
            proc.stop(self.process, self.name)
            self.process = None

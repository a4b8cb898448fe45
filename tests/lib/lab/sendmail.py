"""Sendmail, for the milter tests: a root, a configuration from m4, start and stop."""
import subprocess

from . import proc
from .peer import Peer
from .root import Root

# Sendmail's own local mailer, with a program that writes the maildir in place of procmail and
# without its look-up of accounts, so that every recipient of the domain exists.
MC = """\
divert(0)dnl
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`debian')dnl
define(`confDOMAIN_NAME', `{name}.lab.example')dnl
define(`confTO_IDENT', `0')dnl
define(`confLOG_LEVEL', `14')dnl
define(`confPID_FILE', `/run/sendmail.pid')dnl
undefine(`ALIAS_FILE')dnl
undefine(`confHOST_STATUS_DIRECTORY')dnl
define(`LOCAL_MAILER_PATH', `/usr/local/bin/lab-sink')dnl
define(`LOCAL_MAILER_ARGS', `lab-sink $u@{domain}')dnl
define(`LOCAL_MAILER_FLAGS', `Pn')dnl
MODIFY_MAILER_FLAGS(`LOCAL', `-wA5m')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`nouucp', `reject')dnl
DAEMON_OPTIONS(`Family=inet, Addr={address}, Port=25, Name=MTA')dnl
{more}dnl
{milters}dnl
LOCAL_DOMAIN(`{domain}')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
"""
SINK = """\
#!/bin/sh
# Writes one mail into the maildir; the mailer passes the recipient.
file=$(mktemp {maildir}/{name}/tmp/XXXXXXXX) || exit 75
{{ printf 'X-Original-To: %s\\n' "$1"; cat; }} > "$file" && mv "$file" {maildir}/{name}/new/
"""


class Sendmail(Peer):
    """domain: every recipient of it lands in the maildir. milters: lines of INPUT_MAIL_FILTER.

    more: further lines of m4; packages: what they need in the root.
    """

    def __init__(self, name, address, domain, milters="", more="", packages=()):
        self.root = Root.get(f"sendmail-{name}", "sendmail-bin", "sendmail-cf", "m4", *packages)
        self.name, self.address = name, address
        self.logs = ("/lab-sendmail.log",)
        self.process = None
        self.mc = MC.format(name=name, address=address, milters=milters, more=more,
                            domain=domain)

    def start(self):
        proc.add_address(self.address)
        self.make_maildir()
        self.root.write("/usr/local/bin/lab-sink",
                        SINK.format(maildir=self.maildir, name=self.name), 0o755)
        self.root.write("/etc/mail/lab.mc", self.mc)
        self.root.write("/etc/mail/sendmail.cf", self.root.run("m4", "/etc/mail/lab.mc").stdout)
        self.root.run("install", "-d", "-o", "root", "-g", "smmsp", "-m", "0750",
                      "/var/spool/mqueue")
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

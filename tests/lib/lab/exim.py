"""Exim as protected server, as remote MX, or as sending client. Each instance has its own root."""
import subprocess

from . import proc
from .peer import Peer
from .root import Root

CONFIG = """\
primary_hostname = {name}.lab.example
local_interfaces = <; {address}
daemon_smtp_ports = 25
domainlist ours = {domains}
hostlist relay_from = <; {networks}
log_file_path = /var/log/exim4/%slog
log_selector = +all
smtp_accept_max = 200
# A retry at every queue run; production would wait for minutes.
queue_run_in_order
keep_environment =
pipelining_advertise_hosts = *
chunking_advertise_hosts =
prdr_enable = false
acl_smtp_rcpt = rcpt
acl_smtp_data = accept_all
{tls}
begin acl
rcpt:
{refusals}
  accept domains = +ours
  accept hosts = +relay_from
  deny message = relaying denied
accept_all:
  accept
begin routers
sink:
  driver = accept
  domains = +ours
  transport = maildir
{route}
begin transports
maildir:
  driver = appendfile
  directory = {maildir}/{name}
  maildir_format
  user = Debian-exim
  envelope_to_add
  return_path_add
remote:
  driver = smtp
  interface = <; {address}
  hosts_try_prdr =
  hosts_try_chunking =
  hosts_try_fastopen =
begin retry
* * F,1h,1s
"""
BY_MX = """\
remote:
  driver = dnslookup
  transport = remote
  no_more"""
BY_HOST = """\
remote:
  driver = manualroute
  transport = remote
  route_list = * {host}
  no_more"""


class Exim(Peer):
    """As Postfix of this package: domains, recipients, relayhost, networks, tls."""

    def __init__(self, name, address, domains=(), recipients=None, relayhost=None, networks=(),
                 tls=None, queue_run_s=1):
        self.root = Root.get(f"exim-{name}", "exim4-daemon-heavy")
        self.name, self.address, self.queue_run_s = name, address, queue_run_s
        self.logs = ("/var/log/exim4/mainlog", "/var/log/exim4/panic", "/lab-exim.err")
        self.process = None
        refusals = []
        for recipient, answer in (recipients or {}).items():
            verb = "deny" if answer.startswith("5") else "defer"
            refusals.append(f"  {verb} recipients = {recipient}\n    message = {answer}\n")
        route = BY_HOST.format(host=relayhost) if relayhost else BY_MX
        self.text = CONFIG.format(
            name=name, address=address, domains=" : ".join(domains), maildir=self.maildir,
            networks=" ; ".join(networks), refusals="".join(refusals), route=route,
            tls=(f"tls_advertise_hosts = *\ntls_certificate = {tls[0]}\ntls_privatekey = {tls[1]}"
                 if tls else "tls_advertise_hosts ="))

    def start(self):
        proc.add_address(self.address)
        self.make_maildir()
        # Debian's Exim takes exim4.conf before the file that its scripts generate.
        self.root.write("/etc/exim4/exim4.conf", self.text)
        self.root.run("chown", "-R", "Debian-exim:Debian-exim", f"{self.maildir}/{self.name}")
        error = open(self.root.file("/lab-exim.err"), "ab")
        self.process = self.root.start("exim4", "-bdf", f"-q{self.queue_run_s}s", stdout=error,
                                       stderr=subprocess.STDOUT)
        error.close()
        try:
            proc.wait_port(self.address, 25)
        except proc.LabError as e:
            raise proc.LabError(f"{e}\n{self.log()[-2000:]}") from None
        return self

    def stop(self):
        if self.process is not None:
            proc.stop(self.process, self.name)
            self.process = None

    def send(self, sender, recipients, message):
        self.root.run("exim4", "-i", "-f", sender, "--", *recipients,
                      input=message.replace(b"\r\n", b"\n"))

    def queue(self):
        """What waits: one line of "exim -bpr" a mail."""
        return [line for line in self.root.run("exim4", "-bpr").stdout.splitlines()
                if "<" in line]

    def flush(self):
        self.root.run("exim4", "-qff")

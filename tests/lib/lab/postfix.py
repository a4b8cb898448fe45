"""Postfix as protected server, as remote MX, or as sending client; several may run at once."""
from . import proc
from .peer import Peer
from .root import Root

# The services of a plain Postfix, none in a chroot of its own: the overlay root is one already.
SERVICES = """\
{address}:smtp inet n - n - - smtpd
postlog   unix-dgram n - n - 1 postlogd
pickup    unix n - n 2 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 2 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
local     unix - n n - - local
virtual   unix - n n - - virtual
lmtp      unix - - n - - lmtp
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
"""


class Postfix(Peer):
    """One instance with a configuration, queue and log of its own.

    domains      final destinations: every recipient lands in the maildir, see mails()
    recipients   {"no@example.com": "550 5.1.1 no such user"}: answers at RCPT
    relayhost    "[192.0.2.25]:25": everything else goes there; None: by MX
    networks     whom it relays for; nobody by default
    tls          (certificate, key) of its server side; its client side is then opportunistic
    main         further settings of main.cf
    services     further lines of master.cf
    root         where it is installed, if not in the root that all Postfixes share
    """

    def __init__(self, name, address, domains=(), recipients=None, relayhost=None, networks=(),
                 tls=None, main=None, services="", root=None):
        self.root = root or Root.get("postfix", "postfix")
        self.name, self.address = name, address
        self.config = f"/etc/postfix-{name}"
        self.logs = (f"/var/log/postfix-{name}.log",)
        self.settings = {
            "compatibility_level": "3.6", "myhostname": f"{name}.lab.example",
            "myorigin": f"{name}.lab.example", "mydestination": "",
            "inet_interfaces": address, "inet_protocols": "all",
            "smtp_bind_address6" if ":" in address else "smtp_bind_address": address,
            "queue_directory": f"/var/spool/postfix-{name}",
            "data_directory": f"/var/lib/postfix-{name}", "maillog_file": self.logs[0],
            "syslog_name": name, "mynetworks": " ".join(networks) or "127.0.0.2/32",
            "relayhost": relayhost or "", "smtpd_banner": "$myhostname ESMTP",
            "smtp_host_lookup": "dns", "disable_vrfy_command": "yes", "biff": "no",
            "virtual_mailbox_domains": " ".join(domains), "virtual_mailbox_base": self.maildir,
            "virtual_mailbox_maps": f"static:{name}/", "virtual_uid_maps": "static:5000",
            "virtual_gid_maps": "static:5000", "alias_maps": "", "alias_database": "",
            "smtpd_recipient_restrictions": (f"check_recipient_access texthash:{self.config}/"
                                             "recipients, permit_mynetworks, "
                                             "reject_unauth_destination"),
            # Tests retry within seconds; production values would be minutes.
            "queue_run_delay": "1s", "minimal_backoff_time": "1s", "maximal_backoff_time": "2s",
        }
        if tls:
            self.settings.update({"smtpd_tls_cert_file": tls[0], "smtpd_tls_key_file": tls[1],
                                  "smtpd_tls_security_level": "may",
                                  "smtp_tls_security_level": "may"})
        self.settings.update(main or {})
        self.recipients = dict(recipients or {})
        self.services = SERVICES + services

    def start(self):
        proc.add_address(self.address)
        self.make_maildir()
        for path in (f"/var/spool/postfix-{self.name}", f"/var/lib/postfix-{self.name}"):
            self.root.file(path).mkdir(parents=True, exist_ok=True)
        self.root.run("chown", "postfix:postfix", f"/var/lib/postfix-{self.name}")
        self.root.write(f"{self.config}/main.cf", "".join(
            f"{key} = {value}\n" for key, value in self.settings.items()))
        address = f"[{self.address}]" if ":" in self.address else self.address
        self.root.write(f"{self.config}/master.cf", self.services.format(address=address))
        self.refuse(self.recipients)
        self._postfix("start")
        proc.wait_port(self.address, 25)
        return self

    def _postfix(self, *words, check=True):
        done = self.root.run("postfix", "-c", self.config, *words, check=False)
        if check and done.returncode != 0:
            raise proc.LabError(f"postfix {' '.join(words)}: {done.stdout}\n{self.log()[-2000:]}")
        return done

    def refuse(self, recipients):
        """Sets the answers at RCPT anew; smtpd processes take them up with the next client."""
        self.recipients = dict(recipients)
        self.root.write(f"{self.config}/recipients", "".join(
            f"{address} {answer}\n" for address, answer in self.recipients.items()))

    def stop(self):
        self._postfix("stop", check=False)
        proc.wait_until(lambda: self._postfix("status", check=False).returncode != 0,
                        f"the end of {self.name}", 15, 0.1)

    def send(self, sender, recipients, message):
        """Hands a message in as a local user would (sendmail -i -f)."""
        self.root.run("sendmail", "-C", self.config, "-i", "-f", sender, "--", *recipients,
                      input=message.replace(b"\r\n", b"\n"))

    def queue(self):
        """What waits: the lines of postqueue -j, one JSON object a mail."""
        done = self.root.run("postqueue", "-c", self.config, "-j")
        return [line for line in done.stdout.splitlines() if line.startswith("{")]

    def flush(self):
        self.root.run("postqueue", "-c", self.config, "-f")

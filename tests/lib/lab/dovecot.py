"""Dovecot as the reader of what arrives: LMTP in, IMAP out, one mailbox for each local part, any
password; "master" may read all of them. With a certificate IMAP is spoken over TLS too."""
import imaplib
import smtplib
import subprocess

from . import proc
from .root import Root

LMTP_PORT, IMAP_PORT, IMAPS_PORT = 24, 143, 993
CONFIG = """\
protocols = imap lmtp
listen = {address}
base_dir = /run/dovecot-lab
log_path = /lab-dovecot.log
{tls}
disable_plaintext_auth = no
mail_location = maildir:/var/lab/dovecot/%n
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
auth_username_format = %n
passdb {{
  driver = static
  args = nopassword=y
  master = yes
  username_filter = master
}}
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home=/var/lab/dovecot/%n allow_all_users=yes
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@lab.example
}}
"""


class Dovecot:
    def __init__(self, address, certificate=None):
        """certificate: (certificate, key) as tls.Authority issues them."""
        self.root = Root.get("dovecot", "dovecot-imapd", "dovecot-lmtpd")
        self.address, self.certificate = address, certificate
        self.process = None

    def start(self):
        proc.add_address(self.address)
        tls = "ssl = no"
        if self.certificate is not None:
            for name, path in zip(("cert", "key"), self.certificate):
                self.root.write(f"/etc/dovecot/lab.{name}", path.read_text())
            tls = "ssl = yes\nssl_cert = </etc/dovecot/lab.cert\nssl_key = </etc/dovecot/lab.key"
        self.root.write("/etc/dovecot/lab.conf", CONFIG.format(
            address=self.address, lmtp=LMTP_PORT, imap=IMAP_PORT, tls=tls,
            imaps=IMAPS_PORT if self.certificate else 0))
        self.root.file("/var/lab/dovecot").mkdir(parents=True, exist_ok=True)
        self.root.run("chown", "mail:mail", "/var/lab/dovecot")
        self.process = self.root.start("dovecot", "-F", "-c", "/etc/dovecot/lab.conf",
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            proc.wait_port(self.address, LMTP_PORT)
            proc.wait_port(self.address, IMAP_PORT)
        except proc.LabError as e:
            raise proc.LabError(f"{e}\n{self.log()[-2000:]}") from None
        return self

    def stop(self):
        if self.process is not None:
            proc.stop(self.process, "dovecot")
            self.process = None

    def log(self):
        path = self.root.file("/lab-dovecot.log")
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def deliver(self, name, data, eightbit=False):
        """By LMTP, into the mailbox of that name; LabError where it is refused."""
        with smtplib.LMTP(self.address, LMTP_PORT, timeout=20) as lmtp:
            try:
                lmtp.sendmail("", [f"{name}@lab.example"], data,
                              mail_options=["BODY=8BITMIME"] if eightbit else [])
            except smtplib.SMTPException as e:
                raise proc.LabError(f"LMTP: {e}\n{self.log()[-2000:]}") from None

    def fetch(self, name, what):
        """The answer to FETCH of the last mail there, literals in their places."""
        imap = imaplib.IMAP4(self.address, IMAP_PORT, timeout=20)
        try:
            imap.login(name, "x")
            _, (count,) = imap.select(readonly=True)
            status, data = imap.fetch(count, what)
        finally:
            imap.logout()
        if status != "OK":
            raise proc.LabError(f"IMAP: {data}\n{self.log()[-2000:]}")
        return b" ".join(b"\n".join(d) if isinstance(d, tuple) else d for d in data)

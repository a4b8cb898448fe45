"""What the three MTAs have in common: mails that arrived, and a queue that must become empty."""
import email
import email.policy

from . import proc


class Mail:
    """A mail that a peer delivered to its sink; data as the peer stored it (LF line ends)."""

    def __init__(self, data):
        self.data = data
        self.message = email.message_from_bytes(data, policy=email.policy.compat32)

    def __getitem__(self, name):
        return self.message[name]

    @property
    def sender(self):
        return (self["Return-Path"] or "").strip("<>")

    @property
    def recipient(self):
        return (self["X-Original-To"] or self["Envelope-to"] or "").strip()

    def __repr__(self):
        return f"<{self.sender} to {self.recipient}: {self['Subject']}>"


class Peer:
    """Base of the MTAs. root, name and address are set by each of them."""

    root = name = address = None
    maildir = "/var/lab"
    logs = ()

    def mails(self):
        """What was delivered locally, in the order of arrival."""
        new = self.root.file(f"{self.maildir}/{self.name}/new")
        if not new.is_dir():
            return []
        return [Mail(path.read_bytes()) for path in
                sorted(new.iterdir(), key=lambda p: (p.stat().st_mtime_ns, p.name))]

    def wait_mails(self, count, timeout=15.0, where=lambda mail: True):
        def there():
            found = [m for m in self.mails() if where(m)]
            return found if len(found) >= count else None
        try:
            return proc.wait_until(there, f"{count} mails at {self.name}", timeout, 0.05)
        except proc.LabError as e:
            raise proc.LabError(f"{e}; there are {self.mails()}\n{self.log()[-2000:]}") from None

    def clear(self):
        self.root.remove(f"{self.maildir}/{self.name}/new")
        self.root.file(f"{self.maildir}/{self.name}/new").mkdir(mode=0o777)
        self.root.file(f"{self.maildir}/{self.name}/new").chmod(0o777)

    def make_maildir(self):
        for part in ("", "/new", "/cur", "/tmp"):
            path = self.root.file(f"{self.maildir}/{self.name}{part}")
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o777)

    def log(self):
        """Everything that the peer logged."""
        found = []
        for path in self.logs:
            file = self.root.file(path)
            if file.exists():
                found.append(file.read_text(encoding="utf-8", errors="replace"))
        return "".join(found)

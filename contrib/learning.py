"""What learn-imap and learn-forwarded share: mails as an mbox into `postern learn spam -`, a state
file of which one process at a time has the pen, and how errors are told."""
import contextlib
import fcntl
import json
import os
import re
import subprocess
import tempfile

MAIL_MOST = 256 * 1024  # postern learn reads no more than the first 192 KiB of a mail
EX_TEMPFAIL = 75


class Failed(Exception):
    """The world is not as it should be; its words go to the administrator."""


def mbox_entry(mail):
    """One mail of an mboxrd. The first of it is enough, and line ends do not matter."""
    text = mail[:MAIL_MOST].lstrip(b"\r\n").replace(b"\r\n", b"\n")
    text = re.sub(rb"^(>*From )", rb">\1", text, flags=re.MULTILINE)
    end = b"\n" if text.endswith(b"\n") else b"\n\n"
    return b"From postern-learn Thu Jan  1 00:00:00 1970\n" + text + end


def is_mail(mail):
    """Whether `postern learn` takes it for one: it begins with a header field."""
    return re.match(rb"(\r?\n)*[!-9;-~]+[ \t]*:", mail) is not None


class Learner:
    """
    `postern learn LABEL -`, fed with one mail after the other, and started with the first.
    command: its words up to "learn"; model: a domain whose own model is taught, or None.
    """

    def __init__(self, command, label, model=None):
        self.words = [*command, label, *(["--domain", model] if model else []), "-"]
        self.process = self.said = None

    def _start(self):
        self.said = tempfile.TemporaryFile()
        try:
            self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=self.said,
                                            stderr=subprocess.STDOUT)
        except OSError as e:
            self.said.close()
            raise Failed(f"cannot run {self.words[0]}: {e.strerror}") from None

    def add(self, mail):
        """A learner that has gone is noticed by finish()."""
        if self.process is None:
            self._start()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(mbox_entry(mail))

    def _end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        status = self.process.wait()
        self.said.seek(0)
        lines = self.said.read(4096).decode("utf-8", "replace").split("\n")
        self.said.close()
        self.process = None
        return status, "; ".join(line.strip() for line in lines if line.strip())

    def finish(self):
        """What it said, on one line; Failed where it has not learned all."""
        if self.process is None:
            return ""
        status, text = self._end()
        if status != 0:
            raise Failed(f"{' '.join(self.words)} ended with status {status}: "
                         f"{text or 'it said nothing'}")
        return text

    def give_up(self):
        """What was written so far may have been learned: once more does no harm."""
        if self.process is not None:
            self._end()


class State:
    """A small JSON file that is replaced as a whole; with State(PATH) as s: s.data, s.write()."""

    def __init__(self, path, wait=False):
        self.path, self.wait = path, wait
        self.data = {}
        self.lock = None

    def __enter__(self):
        try:
            self.lock = open(self.path + ".lock", "a", encoding="ascii")
            fcntl.flock(self.lock, fcntl.LOCK_EX | (0 if self.wait else fcntl.LOCK_NB))
        except BlockingIOError:
            self.lock.close()
            raise Failed(f"{self.path}: another run has it") from None
        except OSError as e:
            raise Failed(f"{self.path}.lock: {e.strerror}") from None
        try:
            with open(self.path, encoding="utf-8") as file:
                self.data = json.load(file)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as e:
            self.lock.close()
            raise Failed(f"{self.path}: {e}") from None
        if not isinstance(self.data, dict):
            self.lock.close()
            raise Failed(f"{self.path}: is no state of ours")
        return self

    def __exit__(self, *error):
        self.lock.close()

    def write(self):
        folder = os.path.dirname(os.path.abspath(self.path))
        try:
            with tempfile.NamedTemporaryFile("w", dir=folder, delete=False,
                                             encoding="utf-8") as file:
                json.dump(self.data, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            os.replace(file.name, self.path)
        except OSError as e:
            raise Failed(f"{self.path}: {e.strerror}") from None


def secret(path):
    """The first line of a file that nobody else may read."""
    try:
        with open(path, encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise Failed(f"{path}: others can read it; chmod 600 {path}")
            line = file.readline().rstrip("\r\n")
    except OSError as e:
        raise Failed(f"{path}: {e.strerror}") from None
    if not line:
        raise Failed(f"{path}: is empty")
    return line

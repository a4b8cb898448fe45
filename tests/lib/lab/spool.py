"""What stands in a gateway's spool, asked by `postern queue` as an administrator would."""
import json
import os
import subprocess
import threading
import time

from . import postern, proc


class Spool:
    """The spool of a running gateway. Threads that ask at once share one answer."""

    def __init__(self, gate):
        self.gate, self._lock, self._began, self._items = gate, threading.Lock(), 0.0, []

    def run(self, *words):
        """`postern queue WORDS`, which must succeed; its standard output."""
        done = subprocess.run([postern.binary("postern"), "-f", self.gate.config, "queue", *words],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                              check=False, env={**os.environ, **postern.sanitizer_environment()})
        assert done.returncode == 0, (words, done.stdout.decode(), done.stderr.decode())
        return done.stdout.decode()

    def list(self):
        """Every mail, as it stood at some moment after the call."""
        asked = time.monotonic()
        with self._lock:
            if self._began < asked:
                self._began = time.monotonic()
                self._items = [json.loads(line)
                               for line in self.run("list", "--json").splitlines()]
            return self._items

    def of(self, sender):
        return [i for i in self.list() if i["sender"] == sender]

    def wait_empty(self, sender=None, timeout=30):
        """Until nothing is left, or nothing of this sender."""
        proc.wait_until(lambda: not (self.list() if sender is None else self.of(sender)),
                        f"an end of what is queued for {sender or 'anybody'}", timeout, 0.1)

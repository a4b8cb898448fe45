"""A person's hand on a gateway: `postern queue` and `postern quarantine`, as they are called."""
import json
import os
import subprocess

from . import postern, terminal


class Hand:
    """The commands of one gateway; `tool` is the one that is meant where none is named."""

    def __init__(self, gate, tool):
        self.gate, self.tool, self.said = gate, tool, None

    def command(self, *words):
        return [str(postern.binary("postern")), "-f", str(self.gate.config), *words]

    def run(self, *words, status=0, tool=None, timeout=120):
        """What it printed; what it complained of is in said."""
        done = subprocess.run(self.command(tool or self.tool, *words), stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=timeout, check=False,
                              env={**os.environ, **postern.sanitizer_environment()})
        self.said = done.stderr.decode()
        assert done.returncode == status, (words, done.stdout.decode(), self.said)
        return done.stdout

    def list(self, *words):
        return [json.loads(line) for line in self.run("list", "--json", *words).splitlines()]

    def ids(self, *words):
        return {item["id"] for item in self.list(*words)}

    def show(self, one):
        return json.loads(self.run("show", one, "--json"))

    def on_terminal(self, prompt, typed, *words):
        """What a person sees who types that when asked: (exit status, all of it)."""
        return terminal.answer(self.command(self.tool, *words), prompt, typed)

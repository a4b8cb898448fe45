"""The gateway under test: configuration, process, events, and a clean end.

A test passes only if every process of the gateway ends cleanly and no sanitizer wrote a report.
"""
import itertools
import os
import pathlib
import re
import signal
import subprocess
import textwrap

from . import proc

_FIELD = re.compile(r' ([a-z][a-z0-9._-]*)=("(?:[^"\\]|\\.)*"|[^ ]*)')
_ESCAPE = re.compile(r'\\(x[0-9a-f]{2}|.)')
_REPORT = re.compile(r"==\d+==\s*(ERROR|WARNING): \w+Sanitizer|: runtime error: "
                     r"|LeakSanitizer has encountered a fatal error")
# libclamav keeps what it allocates while it starts. That is not ours; nothing else of it is let by.
# Reports of several processes mix line by line, so the callers of malloc are what is judged.
_CALLER = re.compile(r"^ +#1 0x.*$", re.MULTILINE)
_LEAKS = "ERROR: LeakSanitizer: detected memory leaks"
_number = itertools.count(1)
READY_S = 20.0
# The scanner has an empty environment, so this is the sanitizer's own choice of status.
SCANNER_LEAKED = "exit 23"


def binary(name="posternd"):
    return proc.build_dir() / "bin" / name


class Event(dict):
    """A log line's fields, unescaped. A key may stand more than once: all() gives every value."""

    def __init__(self, fields):
        super().__init__(fields)
        self.fields = fields

    def all(self, key):
        return [value for name, value in self.fields if name == key]

    @property
    def rule(self):
        """Who decided: file:line of a rule, or the name of one that is built in."""
        if "file" in self:
            return f"{pathlib.Path(self['file']).name}:{self.get('line')}"
        return self.get("rule", "")


def parse_event(line):
    """None where the line is no event."""
    if "event=" not in line:
        return None
    return Event([(key, _text(value[1:-1]) if value.startswith('"') else value)
                  for key, value in _FIELD.findall(" " + line)])


def _text(value):
    """What stood between the quotes: the logger writes other bytes than ASCII as escapes."""
    return _ESCAPE.sub(_unescape, value).encode("latin-1").decode("utf-8", "replace")


def _unescape(match):
    word = match.group(1)
    return chr(int(word[1:], 16)) if len(word) == 3 else word


def _only_clamav(log):
    callers = _CALLER.findall(log)
    others = _REPORT.search(log.replace(_LEAKS, ""))
    return not others and callers and all("/libclamav.so" in caller for caller in callers)


def sanitizer_environment():
    """Every report of every process goes to stderr, the log, and makes a bad exit status.

    Not to files of their own: the sandbox of a process does not let it create any. Without
    strict_string_checks: it calls strndup of counted bytes an error, as libgsasl does for LOGIN.
    """
    common = "print_stacktrace=1:handle_abort=1:exitcode=99"
    return {
        "ASAN_OPTIONS": f"{common}:detect_leaks=1:abort_on_error=0"
                        ":detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": common,
        "LSAN_OPTIONS": "exitcode=99",
        "TSAN_OPTIONS": common,
    }


def descendants(pid):
    """{pid: name} of every process below pid, from /proc."""
    parents, names = {}, {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                head, _, tail = (entry / "stat").read_text().rpartition(")")
            except OSError:
                continue
            parents[int(entry.name)] = int(tail.split()[1])
            names[int(entry.name)] = head.partition("(")[2]
    found, level = {}, {pid}
    while level:
        level = {p for p, parent in parents.items() if parent in level}
        found.update({p: names[p] for p in level})
    return found


class Postern:
    """One gateway. config: text of postern.conf; files: {name: text or bytes or path to copy}.

    home: where they are written, and the log; by default on the laboratory's tmpfs. program and
    user: another posternd than the build's, and whom to start it as instead of root.
    """

    def __init__(self, config, files=None, environment=None, home=None, program=None, user=None):
        self.home = home or proc.LAB / f"postern-{next(_number)}"
        self.home.mkdir(parents=True, exist_ok=home is not None)
        self.home.chmod(0o755)
        self.config = self.home / "postern.conf"
        self.write(config)
        for name, content in (files or {}).items():
            self.add_file(name, content)
        self.log_path = self.home / "postern.log"
        self.environment = environment or {}
        self.program = program or binary()
        self.started_as = {"user": user, "extra_groups": []} if user else {}
        self.process = None

    def write(self, config):
        self.config.write_text(textwrap.dedent(config), encoding="utf-8")

    def add_file(self, name, content):
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pathlib.Path):
            content = content.read_bytes()
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    def _environment(self):
        env = {k: v for k, v in os.environ.items() if k != "JOURNAL_STREAM"}
        return {**env, **sanitizer_environment(), **self.environment}

    def check(self):
        """posternd -n: (exit status, what it said)."""
        done = proc.run(binary(), "-f", self.config, "-n", check=False, env=self._environment())
        return done.returncode, done.stdout

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([self.program, "-f", self.config], stderr=log, stdout=log,
                                            stdin=subprocess.DEVNULL, cwd="/",
                                            start_new_session=True,
                                            env=self._environment(), **self.started_as)
        proc.wait_until(lambda: self.events("ready") or self.process.poll() is not None,
                        "event=ready of posternd", READY_S)
        if self.process.poll() is not None:
            raise AssertionError(f"posternd ended with {self.process.returncode} instead of "
                                 f"event=ready\n{self.log()}{self.sanitizer_reports()}")
        return self

    def log(self):
        if not self.log_path.exists():
            return ""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def events(self, event=None, **fields):
        """Parsed log lines, by event name and fields."""
        found = []
        for line in self.log().splitlines():
            parsed = parse_event(line)
            if (parsed and event in (None, parsed.get("event"))
                    and all(parsed.get(k) == v for k, v in fields.items())):
                found.append(parsed)
        return found

    def wait_event(self, event, timeout=10.0, **fields):
        try:
            return proc.wait_until(lambda: self.events(event, **fields), f"event={event} {fields}",
                                   timeout)[-1]
        except proc.LabError as e:
            raise AssertionError(f"{e}\n{self.log()[-3000:]}") from None

    def processes(self):
        """{pid: name} of the parent and all its children."""
        return {self.process.pid: "posternd", **descendants(self.process.pid)}

    def kill(self, pid, number=signal.SIGKILL):
        os.kill(pid, number)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def sanitizer_reports(self):
        """The log from the first report on, without libclamav's own leaks; "" if there is none."""
        log = self.log()
        found = None if _only_clamav(log) else _REPORT.search(log)
        return f"\n{log[found.start():][:12000]}" if found else ""

    def stop(self, timeout=20.0, told=False):
        """SIGTERM, unless told already; raises AssertionError unless everything ended cleanly."""
        if self.process is None:
            return
        children = descendants(self.process.pid)
        try:
            status = proc.stop(self.process, "posternd", timeout, told)
        except proc.LabError as e:
            raise AssertionError(f"{e}\n{self.log()[-3000:]}") from None
        finally:
            self.process = None
        reports = self.sanitizer_reports()
        assert not reports, "a sanitizer reported" + reports
        assert status == 0, f"posternd ended with status {status}\n{self.log()[-3000:]}"
        # SIGKILL comes from tests only; everything else is the process's own fault.
        bad = [e for e in self.events("child-exit")
               if e.get("status") not in ("exit 0", "killed by SIGKILL")
               and not (e.get("kind") == "scanner" and e.get("status") == SCANNER_LEAKED)]
        assert not bad, f"a process did not end cleanly: {bad[0]}\n{self.log()[-3000:]}"
        left = [pid for pid in children if alive(pid)]
        assert not left, f"processes outlived posternd: { {p: children[p] for p in left} }"


def alive(pid):
    try:
        # A zombie that process 1 has not reaped yet is no survivor.
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"

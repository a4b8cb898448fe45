"""A program on a terminal of its own, as a person sits at it."""
import os
import pty
import select
import time

from . import postern


def answer(words, prompt, typed, timeout=60):
    """Runs it and types that when the prompt has come: (exit status, all that was shown).

    Of a program that has not asked, nothing was typed; what it showed tells so.
    """
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(words[0], [str(word) for word in words],
                  {**os.environ, **postern.sanitizer_environment()})
    shown, asked, end = b"", False, time.monotonic() + timeout
    while time.monotonic() < end:
        ready, _, _ = select.select([fd], [], [], 1)
        try:
            piece = os.read(fd, 4096) if ready else b""
        except OSError:
            break
        shown += piece
        if not asked and prompt in shown:
            os.write(fd, typed)
            asked = True
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return os.waitstatus_to_exitcode(status), shown.decode()

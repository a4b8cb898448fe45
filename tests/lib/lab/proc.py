"""Where things are, running commands, and waiting with a bound."""
import os
import pathlib
import signal
import socket
import subprocess
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
INSIDE = "POSTERN_LAB" in os.environ
LAB = pathlib.Path(os.environ.get("POSTERN_LAB", "/nonexistent"))


class LabError(Exception):
    """Something of the laboratory itself failed: not a verdict on the gateway."""


def build_dir():
    """The build that is tested: POSTERN_BUILD, else build/dev."""
    return pathlib.Path(os.environ.get("POSTERN_BUILD", REPOSITORY / "build/dev")).resolve()


def suites_dir():
    """Test data of others, which is not part of the repository; it may be absent."""
    return pathlib.Path(os.environ.get("POSTERN_SUITES", REPOSITORY / "../shared/suites")).resolve()


def run(*words, timeout=60, check=True, **more):
    """Runs a command to its end; its output is in the result, and in the error if it failed."""
    try:
        done = subprocess.run([str(w) for w in words], stdin=more.pop("stdin", subprocess.DEVNULL)
                              if "input" not in more else None, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout, check=False, **more)
    except FileNotFoundError as e:
        raise LabError(f"{words[0]} is not installed: contrib/dependencies test") from e
    except subprocess.TimeoutExpired as e:
        raise LabError(f"{' '.join(map(str, words))}: no end after {timeout} s") from e
    if isinstance(done.stdout, bytes):
        done.stdout = done.stdout.decode("utf-8", "replace")
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(map(str, words))}: status {done.returncode}\n{done.stdout}")
    return done


def wait_until(question, what, timeout=10.0, step=0.02):
    """Asks until the answer is true and returns it; LabError after timeout seconds."""
    end = time.monotonic() + timeout
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise LabError(f"{what}: not within {timeout:g} s")
        time.sleep(step)


def wait_port(address, port, timeout=10.0):
    """Waits until something listens there. It connects and closes: a peer may log that."""
    def listens():
        try:
            socket.create_connection((address, port), timeout=1).close()
            return True
        except OSError:
            return False
    wait_until(listens, f"a listener at {address} port {port}", timeout)


def add_address(address):
    """Puts an address on lo. Only what looks for its own interfaces needs it (Postfix)."""
    family, length = ("-6", 128) if ":" in address else ("-4", 32)
    run("ip", family, "addr", "replace", f"{address}/{length}", "dev", "lo",
        *(["nodad"] if length == 128 else []))


def stop(process, what, timeout=15.0, told=False):
    """Ends a child by SIGTERM and returns its exit status; SIGKILL and LabError after timeout.

    told: it has had its signal already.
    """
    if process.poll() is None and not told:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise LabError(f"{what} did not end within {timeout:g} s of SIGTERM") from None

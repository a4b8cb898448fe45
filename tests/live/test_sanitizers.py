"""The sanitizers see every process of the gateway: a leak planted in each kind is caught.

If a kind of process left without its leak check (by _exit, or killed by its parent), a real leak
in it would go unseen, and all other live tests would prove less than they seem to.
"""
import shutil
import subprocess

import pytest

from lab import postern, proc, smtp

GATE, SERVER = "192.0.2.29", "198.51.100.29"
PROGRAM = r"""
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile sig_atomic_t over;
static void end(int n) { (void)n; over = 1; }
int main(void)
{
	signal(SIGTERM, end);
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_NAME, "session 1");
		while (!over)
			pause();
		exit(0);
	}
	write(2, "event=ready\n", 12);
	while (!over)
		pause();
	kill(child, SIGTERM);
	int status;
	waitpid(child, &status, 0);
	return status != 0;
}
"""


def planted(kind, program):
    """Environment that loads the leak into one kind of process, behind the sanitizer's runtime."""
    library = next((proc.build_dir() / "tests/lib").glob("*postern_leak.so"), None)
    if library is None:
        pytest.skip("tests/lib is not built")
    linked = proc.run("ldd", program).stdout.split()
    runtime = [word for word in linked if word.startswith("/") and "libasan" in word]
    return {"LD_PRELOAD": " ".join([*runtime, str(library)]), "POSTERN_LEAK_IN": kind}


def test_a_program_that_leaks(tmp_path):
    """The method itself, on twenty lines of C: caught in the child, and only if planted."""
    (tmp_path / "two.c").write_text(PROGRAM)
    program = tmp_path / "two"
    proc.run("gcc", "-g", "-fsanitize=address", "-o", program, tmp_path / "two.c")
    for kind, caught in (("session", True), ("posternd", True), ("nobody", False)):
        env = {**postern.sanitizer_environment(), **planted(kind, program),
               "PATH": "/usr/bin:/bin"}
        with subprocess.Popen([program], env=env, stderr=subprocess.PIPE) as process:
            assert process.stderr.readline() == b"event=ready\n"
            # The child has its name by now, or will have it before it handles the signal.
            proc.wait_until(lambda: "session 1" in
                            postern.descendants(process.pid).values(), "the child")
            process.terminate()
            text = process.stderr.read()
            status = process.wait(20)
        assert (b"postern_planted_leak" in text) == caught, (kind, text)
        assert (status != 0) == caught


def kinds(gate):
    """The kinds of processes that run, by the names that they gave themselves: "session 1"."""
    return sorted({name.partition(" ")[0] for name in gate.processes().values()} - {"posternd"})


def beside(posternd, kind, environment, folder):
    """A copy of posternd that finds, beside itself, programs of ours: one with that environment.

    posternd gives its programs an empty one.
    """
    folder.mkdir()
    for name in (p.name for p in posternd.parent.glob("postern-*")):
        (folder / name).symlink_to(posternd.parent / name)
    (folder / kind).unlink()
    words = " ".join(f"'{name}={value}'" for name, value in environment.items())
    (folder / kind).write_text(f"#!/bin/sh\nexec env {words} {posternd.parent / kind} \"$@\"\n")
    (folder / kind).chmod(0o755)
    return shutil.copy(posternd, folder / "posternd")


CONFIG = f"""\
hostname "mx.example.com"
resolver "192.0.2.53:53" trust "trust.key"
spool "SPOOL"
listen inbound on "{GATE}:25"
listen milter on "inet:8891@{GATE}" through libmilter
listen outbound on "{GATE}:587" tls required certificate "mx.pem" key "mx.key" auth "users"
domain "example.com" deliver to "{SERVER}:25"
send smarthost "{SERVER}:25"
sign "example.com" selector "s1" key "s1.pem"
filter virus {{ database "signatures" }}
filter spf {{ compare libspf2 }}
inbound {{
    reject if virus
    accept
}}
outbound {{
    sign
    accept
}}
"""
# Every kind that this configuration needs; a kind that is missing here would go unproven.
KINDS = {"session", "delivery", "postern-scanner", "scan-worker", "postern-engine",
         "engine-worker", "postern-milter", "signer", "auth", "keeper"}


def test_every_process_of_the_gateway(posternd, nsd, authority, tmp_path):
    certificate, key = authority.issue("mx.example.com")
    proc.run(postern.binary("postern"), "dkim", "keygen", "example.com", "s1", "rsa2048",
             tmp_path / "s1.pem")
    config = CONFIG.replace("SPOOL", str(tmp_path / "spool"))
    files = {"trust.key": nsd.trust_file, "mx.pem": certificate, "mx.key": key, "users": "",
             "s1.pem": tmp_path / "s1.pem",
             "signatures/none.hdb": "00000000000000000000000000000000:1:None\n"}
    if "libasan" not in proc.run("ldd", posternd).stdout and \
            b"__asan_init" not in posternd.read_bytes():
        pytest.skip("this build has no sanitizers")
    with smtp.Server(SERVER):
        clean = postern.Postern(config, files).start()
        running = kinds(clean)
        clean.stop()
        # libclamav's own leaks at start show that its processes are looked at.
        assert "LeakSanitizer" in clean.log()
        assert KINDS <= set(running), running
        config = config.replace("reject if virus", "").replace("filter virus", "# ")
        for kind in ["posternd", *(k for k in running if "scan" not in k and "engine" not in k)]:
            leak = planted(kind, posternd)
            program = posternd
            if kind.startswith("postern-"):
                program, leak = beside(posternd, kind, leak, tmp_path / kind), {}
            gate = postern.Postern(config, files, leak, program=program).start()
            with smtp.Client(GATE) as client:
                said = client.mail("a@sender.example", ["b@example.com"], smtp.message(kind))
            assert said.dot.code == 250
            with pytest.raises(AssertionError, match="postern_(planted_)?leak"):
                gate.stop()

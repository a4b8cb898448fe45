"""Overlay roots: a peer's packages beside the machine's own, which stay as they are.

A root is an overlay over / whose upper layer is on the laboratory's tmpfs. Packages are installed
in it by chroot, with the machine's own network for that one command; its services are not started
(policy-rc.d says 101). MTAs that exclude each other have a root each and never meet.
"""
import fcntl
import os
import pathlib
import shutil
import subprocess

from . import proc

# Debian's archives are loaded once and shared by all roots, outside of apt's own cache.
CACHE = pathlib.Path(os.environ.get("POSTERN_LAB_CACHE", proc.REPOSITORY / "build/lab/archives"))
INSTALL_S = 300
CLONE_NEWNET = 0x40000000
APT = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3",
       "-o", "APT::Keep-Downloaded-Packages=true", "-o", "Dir::Cache::archives=/lab-archives",
       "-o", "DPkg::Options::=--force-unsafe-io", "-o", "DPkg::Options::=--force-confnew",
       "-o", "DPkg::Options::=--path-exclude=/usr/share/man/*")


def _outside_network():
    """Runs in the child before exec: back to the machine's network, for apt alone."""
    proc_net = int(os.environ["POSTERN_LAB_HOST_NET"])
    import ctypes
    if ctypes.CDLL(None, use_errno=True).setns(proc_net, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Root:
    """One overlay root; made when first asked for, kept until the laboratory ends."""

    _made = {}

    @classmethod
    def get(cls, name, *packages):
        if name not in cls._made:
            cls._made[name] = cls(name, packages)
        return cls._made[name]

    def __init__(self, name, packages):
        if not proc.INSIDE:
            raise proc.LabError("not inside the laboratory: run through tests/lib/inlab")
        self.name = name
        base = proc.LAB / "roots" / name
        upper, work, self.path = base / "upper", base / "work", base / "root"
        for each in (upper, work, self.path):
            each.mkdir(parents=True)
        proc.run("mount", "-t", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}",
                 "overlay", self.path)
        proc.run("mount", "-t", "proc", "proc", self.path / "proc")
        proc.run("mount", "--rbind", "/dev", self.path / "dev")
        proc.run("mount", "-t", "tmpfs", "-o", "mode=0755", "run", self.path / "run")
        (self.path / "run/lock").mkdir()
        proc.run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmp", self.path / "tmp")
        # The repository and the laboratory itself are seen inside under their own names.
        for seen in (proc.REPOSITORY, proc.LAB):
            inside = self.path / str(seen).lstrip("/")
            inside.mkdir(parents=True, exist_ok=True)
            proc.run("mount", "--bind", seen, inside)
        policy = self.path / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
        policy.chmod(0o755)
        self._etc("resolv.conf", (proc.LAB / "resolv.conf.outside").read_text(encoding="utf-8"))
        self._etc("hosts", pathlib.Path("/etc/hosts").read_text(encoding="utf-8"))
        if packages:
            self._install(packages)
        self._etc("resolv.conf", pathlib.Path("/etc/resolv.conf").read_text(encoding="utf-8"))

    def _etc(self, name, text):
        # The file may be a link to something under /run that is not there in this root.
        path = self.path / "etc" / name
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")

    def _install(self, packages):
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / "partial").mkdir(exist_ok=True)
        (self.path / "lab-archives").mkdir()
        proc.run("mount", "--bind", CACHE, self.path / "lab-archives")
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", NEEDRESTART_MODE="l")

        def apt(*words):
            return proc.run("chroot", self.path, *APT, *words, timeout=INSTALL_S, check=False,
                            env=env, preexec_fn=_outside_network)
        # Two laboratories at once may share the archives.
        with open(CACHE / "lock.lab", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = apt("install", "--no-install-recommends", *packages)
            if done.returncode != 0:
                apt("update")
                done = apt("install", "--no-install-recommends", *packages)
        (proc.LAB / f"{self.name}.install.log").write_text(done.stdout, encoding="utf-8")
        if done.returncode != 0:
            raise proc.LabError(f"root {self.name}: installing {' '.join(packages)} failed\n"
                                + done.stdout[-3000:])

    def file(self, path):
        """Where a path of this root is, seen from outside."""
        return self.path / str(path).lstrip("/")

    def write(self, path, text, mode=0o644):
        where = self.file(path)
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text, encoding="utf-8")
        where.chmod(mode)

    def run(self, *words, **more):
        return proc.run("chroot", self.path, *words, **more)

    def start(self, *words, **more):
        """Starts a process that stays in the foreground; a Ctrl-C at the terminal is not for it."""
        return subprocess.Popen(["chroot", str(self.path), *map(str, words)],
                                stdin=subprocess.DEVNULL, start_new_session=True, **more)

    def remove(self, path):
        shutil.rmtree(self.file(path), ignore_errors=True)

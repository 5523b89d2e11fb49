"""Running servers that refuse to run as root; they die with the thread that started them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LINUX = sys.platform == "linux"
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Way:
    """One way to run a program: as this user, in a separate user namespace, or as another user."""

    user: str | None = None
    namespace: bool = False

    def command(self, *arguments: str | Path, death_signal: int = signal.SIGKILL) -> list[str]:
        """Return the command that runs a program so. It gets the signal when our thread ends."""
        # By way of this file: what has threads should not fork and go on in Python.
        launcher = [sys.executable, "-I", "-S", __file__]
        way = [self.user or "", "namespace" if self.namespace else "", str(int(death_signal))]
        return [*launcher, *way, *map(str, arguments)]

    def own(self, folder: Path) -> None:
        """Change the owner of a folder of ours, and of its contents, to the user of the program."""
        if self.user is not None:
            entry = pwd.getpwnam(self.user)
            for path in (folder, *folder.rglob("*")):
                os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)

    def works(self, program: Path, folder: Path) -> bool:
        """Return True if the program starts this way and can use the folder."""
        script = 'cd -- "$1" && test -w . && exec "$2" -V'
        answer = subprocess.run(
            self.command("/bin/sh", "-c", script, "sh", folder, program),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            timeout=30,
            check=False,
        )
        return answer.returncode == 0


def choose(program: Path, folder: Path) -> tuple[Way, Path]:
    """Choose how to run a program in a folder of ours, and pass it the folder.

    Returns:
        The way, and the program to run: a copy where the other user cannot reach the original.
    """
    for way in _ways():
        way.own(folder)
        if way.works(program, folder):
            return way, program
        if way.user is not None and program.parent.name == "bin":
            copy = _copy(program, folder)
            if way.works(copy, folder):
                return way, copy
    raise AssertionError(f"no way to run {program} as somebody else than root works here")


def _ways() -> Iterator[Way]:
    if os.geteuid() != 0:
        yield Way()
        return
    if _LINUX:
        yield Way(namespace=True)
    for user in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            pwd.getpwnam(user)
            yield Way(user)


def _copy(program: Path, folder: Path) -> Path:
    """Copy a wheel's programs, with the libraries that they look for beside them."""
    installed = program.parent.parent
    package = installed.parent
    target = folder / "programs" / package.name / installed.name
    if not target.exists():
        shutil.copytree(installed, target, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, folder / "programs" / libraries.name, symlinks=True)
    for path in (folder, folder / "programs", *(folder / "programs").rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    return target / "bin" / program.name


def _launch(user: str, namespace: str, death_signal: str, *command: str) -> None:
    if user:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if _LINUX:
        libc = ctypes.CDLL(None, use_errno=True)
        if namespace and libc.unshare(_CLONE_NEWUSER) != 0:
            sys.exit(f"unshare(CLONE_NEWUSER): {os.strerror(ctypes.get_errno())}")
        # Last, because the kernel forgets it when the user changes.
        libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    os.execv(command[0], command)


if __name__ == "__main__":
    _launch(*sys.argv[1:])

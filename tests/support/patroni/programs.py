"""The programs that a cluster of Patroni needs, and free ports for them."""

from __future__ import annotations

import random
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.patroni.kept import SYSTEM_PYTHON, clean_environment
from tests.support.replication import NoProgramsError
from tests.support.replication.template import find_programs

_PLACES = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
_DEBIAN = "patroni etcd-server python3-etcd haproxy postgresql"


class NoPatroniError(Exception):
    """A program that is needed is not on this machine; the text says which."""


@dataclass(frozen=True)
class Programs:
    """The paths of the programs; of PostgreSQL the folder."""

    python: Path
    patroni: Path
    etcd: Path
    haproxy: Path
    postgresql: Path


def find() -> Programs:
    """Find the programs.

    Raises:
        NoPatroniError: one of them is missing.
    """
    if not Path("/proc/self/stat").exists():
        raise NoPatroniError("the processes of a node are found in /proc: only Linux has it")
    found = {name: shutil.which(name, path=_PLACES) for name in ("patroni", "etcd", "haproxy")}
    found["python3-etcd"] = SYSTEM_PYTHON if _has_modules() else None
    missing = [name for name, path in found.items() if path is None]
    try:
        postgresql = find_programs()
    except NoProgramsError as error:
        raise NoPatroniError(str(error)) from error
    if missing:
        raise NoPatroniError(f"missing: {', '.join(missing)} (Debian: apt-get install {_DEBIAN})")
    patroni, etcd, haproxy = (Path(str(found[name])) for name in ("patroni", "etcd", "haproxy"))
    return Programs(Path(SYSTEM_PYTHON), patroni, etcd, haproxy, postgresql)


def _has_modules() -> bool:
    """Return True if the system's Python has the modules that Patroni needs for etcd."""
    try:
        answer = subprocess.run(
            [SYSTEM_PYTHON, "-c", "import etcd, psycopg2"],
            capture_output=True,
            timeout=60,
            check=False,
            cwd="/",
            env=clean_environment(),
        )
    except FileNotFoundError:
        return False
    return answer.returncode == 0


def versions(found: Programs) -> dict[str, str]:
    """Return the versions of what is not PostgreSQL."""
    commands: dict[str, tuple[Path | str, ...]] = {
        "Patroni": (found.python, found.patroni, "--version"),
        "etcd": (found.etcd, "--version"),
        "HAProxy": (found.haproxy, "-v"),
    }
    answers: dict[str, str] = {}
    for name, command in commands.items():
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            cwd="/",
            env=clean_environment(),
        )
        version = re.search(r"\d+(\.\d+)+", answer.stdout)
        assert version is not None, f"{name} says of its version {answer.stdout!r}"
        answers[name] = version[0]
    return answers


def free_ports(count: int) -> list[int]:
    """Return so many free ports, none of which the system gives to clients.

    A client that tries a port of the system's own again and again may connect to itself.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as trying:
            trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trying.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports

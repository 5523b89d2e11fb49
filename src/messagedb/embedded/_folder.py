"""The folder of an embedded server: its contents, and the locks by which it is shared."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any, cast

from messagedb._errors import EmbeddedServerError

START_LOCK = "start.lock"
USE_LOCK = "use.lock"
SERVER_LOCK = "server.lock"
STATE = "server.json"
LOG = "server.log"
DATA = "data"

_OURS = frozenset({START_LOCK, USE_LOCK, SERVER_LOCK, STATE, LOG, LOG + ".old", STATE + ".new"})
# Files that file systems and desktops put into an empty folder by themselves.
_IGNORED_FILES = frozenset({"lost+found", ".DS_Store"})
_LOG_LIMIT = 1 << 20
_POLL = 0.02


def prepare(folder: Path) -> None:
    """Create the folder, or check that it is ours to use. Another folder is not changed.

    Raises:
        EmbeddedServerError: it is not a folder, holds something else, or cannot be created or read.
    """
    try:
        # PostgreSQL may run as another user when root starts it: then the folder must let it pass.
        # The files in it are private.
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise EmbeddedServerError(
                f"{folder} cannot be the folder of an embedded server: it, or a part of its path, "
                "is a file. Nothing was changed. Name a folder."
            ) from None
    except OSError as exc:
        raise _permission_error(folder, "cannot be made", exc) from exc
    try:
        entries = {entry.name for entry in folder.iterdir()}
        ours = (folder / DATA / "PG_VERSION").exists()
    except OSError as exc:
        raise _permission_error(folder, "cannot be read", exc) from exc
    foreign = {
        name for name in entries - _OURS - _IGNORED_FILES if not name.startswith(DATA + ".new-")
    }
    if ours or not foreign:
        return
    if "PG_VERSION" in entries:
        raise EmbeddedServerError(
            f"{folder} is a data directory that PostgreSQL made without messagedb. Nothing in it"
            " was changed. Name another folder, or start that PostgreSQL yourself and pass its"
            " URL."
        )
    names = ", ".join(sorted(foreign)[:5])
    raise EmbeddedServerError(
        f"{folder} is not empty and holds no embedded server, but {names}. Nothing in it was "
        "changed. Name an empty folder or one that does not exist yet."
    )


def check_version(folder: Path, major: int, directory: Path) -> None:
    """Check that the data in the folder is of the major version that the binaries have."""
    try:
        found = (folder / DATA / "PG_VERSION").read_text("ascii").strip()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as exc:
        raise _permission_error(folder / DATA, "cannot be read", exc) from exc
    if found != str(major):
        raise EmbeddedServerError(
            f"the data in {folder} was made by PostgreSQL {found}, and the programs in {directory} "
            f"are PostgreSQL {major}; one major version cannot open the data of another. Nothing "
            "was changed. Let MESSAGEDB_POSTGRES_BIN name the bin directory of a PostgreSQL "
            f"{found}, or move the data with pg_dump or pg_upgrade."
        )


def read_state(folder: Path) -> dict[str, Any] | None:
    """Read the supervisor's description of the running server; None if there is none."""
    try:
        state: Any = json.loads((folder / STATE).read_text("ascii"))
    except (OSError, ValueError):
        return None
    return cast("dict[str, Any]", state) if isinstance(state, dict) else None


def open_log(folder: Path) -> int:
    """Open the server's log for appending; rename one above 1 MiB to ``server.log.old``."""
    path = folder / LOG
    try:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > _LOG_LIMIT:
                path.replace(folder / (LOG + ".old"))
        return _open(folder, LOG, os.O_WRONLY | os.O_APPEND)
    except OSError as exc:
        raise _permission_error(folder, "cannot be used", exc) from exc


def _open(folder: Path, name: str, flags: int) -> int:
    descriptor = os.open(folder / name, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        # So that the folder's owner can use it again after root did.
        owner = folder.stat()
        with contextlib.suppress(OSError):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def try_lock(descriptor: int, *, exclusive: bool) -> bool:
    """Acquire the lock if it is free, until the last copy of the descriptor is closed."""
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def take_lock(folder: Path, name: str, *, exclusive: bool, deadline: float) -> int:
    """Open and acquire a lock, waiting until ``deadline`` (of ``time.monotonic()``).

    Returns:
        The descriptor that holds it.

    Raises:
        EmbeddedServerError: another process held it all the time, or the file cannot be used.
        Nothing is held.
    """
    while True:
        try:
            descriptor = _open(folder, name, os.O_RDWR)
        except OSError as exc:
            raise _permission_error(folder, "cannot be used", exc) from exc
        try:
            while not try_lock(descriptor, exclusive=exclusive):
                if time.monotonic() > deadline:
                    raise EmbeddedServerError(
                        f"another process is starting or stopping the embedded server in {folder}"
                        " and did not finish in time. Nothing was sent. Try again, or use a"
                        " longer timeout."
                    )
                time.sleep(_POLL)
            # The folder may have been removed while we waited: a lock on a file without a name
            # protects nothing.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), (folder / name).stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        prepare(folder)


def is_locked(folder: Path, name: str, *, exclusive: bool) -> bool:
    """Return True if a lock of this kind is not free now. Holds it for a moment."""
    try:
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not try_lock(descriptor, exclusive=exclusive)
    finally:
        os.close(descriptor)


def has_other_users(folder: Path) -> bool:
    """Return True if a client holds the shared lock (a supervisor would hold it exclusively)."""
    return is_locked(folder, USE_LOCK, exclusive=True) and not is_locked(
        folder, USE_LOCK, exclusive=False
    )


def _permission_error(folder: Path, what: str, exc: Exception) -> EmbeddedServerError:
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return EmbeddedServerError(
        f"the folder {folder} of an embedded server {what} by user {os.geteuid()}: {reason}. "
        "Nothing was sent. Run as the user that the folder belongs to, or name a folder that this "
        "user may write."
    )

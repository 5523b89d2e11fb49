"""A share in a folder's server: the resources that hold it, and its release."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

from messagedb._errors import EmbeddedServerError

from . import _folder, _supervisor_process

_POLL = 0.02
_STOP_LIMIT = 60.0


class ServerHandle:
    """The resources that one call of ``start()`` holds.

    Attributes:
        folder: the folder of the server.
        temporary: the folder is removed with the server.
        use_lock: the descriptor that holds ``use.lock`` shared; -1 before.
        pipe: the writing end of the supervisor's input if this call started it; otherwise -1.
        supervisor: its process id if this call started it; otherwise 0.
        socket_directory: the directory of the server's socket; an empty string before.
        is_released: the share was released.
    """

    def __init__(self, folder: Path, *, temporary: bool) -> None:
        self.folder = folder
        self.temporary = temporary
        self.use_lock = -1
        self.pipe = -1
        self.supervisor = 0
        self.socket_directory = ""
        self.is_released: bool = False
        self._pid = os.getpid()
        self._release_lock = threading.Lock()

    def release(self) -> None:
        """Release the share, and wait for the server's end unless others use it. Raises nothing."""
        with self._release_lock:
            if self.is_released:
                return
            self.is_released = True
            for descriptor in (self.pipe, self.use_lock):
                if descriptor >= 0:
                    # Closed and never unlocked: a forked child may continue with its copy.
                    os.close(descriptor)
            if os.getpid() != self._pid:
                return
            if self._wait_for_end() and self.temporary:
                self._remove()

    def _wait_for_end(self) -> bool:
        begin = time.monotonic()
        look = begin + _POLL
        while time.monotonic() < begin + _STOP_LIMIT:
            if not _folder.is_locked(self.folder, _folder.SERVER_LOCK, exclusive=False):
                # The lock is released a moment before the process ends.
                if self.supervisor not in _supervisor_process.reap():
                    return True
                time.sleep(_POLL / 4)
                continue
            if time.monotonic() > look:
                if _folder.has_other_users(self.folder):
                    return False
                # Rarely: each check holds the lock that the supervisor is trying to acquire.
                look = time.monotonic() + 0.15
            time.sleep(_POLL / 4)
        return False

    def _remove(self) -> None:
        # The supervisor has stopped it, unless it was killed: then PostgreSQL may still be ending.
        deadline = time.monotonic() + 5.0
        while self.folder.exists() and time.monotonic() < deadline:
            shutil.rmtree(self.folder, ignore_errors=True)
            if self.socket_directory:
                shutil.rmtree(self.socket_directory, ignore_errors=True)
            if self.folder.exists():
                time.sleep(_POLL)


def temporary_folder() -> Path:
    """Create the folder of a temporary server."""
    root = os.geteuid() == 0
    # Root's server may run as another user, who must be able to enter; the folder's contents are
    # private.
    place = "/tmp" if root and os.access("/tmp", os.W_OK) else None
    try:
        folder = Path(tempfile.mkdtemp(prefix="messagedb-", dir=place)).absolute()
    except OSError as exc:
        raise EmbeddedServerError(
            f"no folder for a temporary server could be made: {exc}. Nothing was started. Let"
            " TMPDIR name a folder that this user may write."
        ) from exc
    if root:
        with contextlib.suppress(OSError):
            folder.chmod(0o711)
    return folder

"""Start or join the server of a folder, and leave it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from messagedb._errors import EmbeddedServerError

from . import _address, _database, _folder, _options, _supervisor_process
from ._binaries import find
from ._handle import ServerHandle, temporary_folder

_POLL = 0.02


class EmbeddedServer:
    """A share in a running server. It is returned by :func:`start`.

    The share, and with it the server, lasts until :meth:`stop`, until the end of the ``with``
    block, or until the process ends, in any way; not until the object is collected. A process
    made by ``os.fork()`` (so by multiprocessing's "fork") has the same share: the server ends when
    both have ended or stopped it. Programs that are started do not inherit it.

    Example::

        server = embedded.start("./data")
        try:
            print(server.url)
        finally:
            server.stop()

    Attributes:
        url: a URL of the database ``message_store`` for its user ``message_store``, who may write
            and read messages.
        admin_url: the same database for the superuser ``postgres``, also for your own tables:
            they are created in the schema ``public``.
        folder: the absolute path of the folder, also of a temporary one.

    Both URLs carry explicit values for everything that libpq would otherwise take from ``PG*``
    variables and that could break them; they suit the libpq of this process. ``PGSERVICE``,
    ``PGTZ``, ``PGDATESTYLE`` and ``PGGEQO`` cannot be overridden by a URL.
    """

    url: str
    admin_url: str
    folder: Path

    def __init__(self, handle: ServerHandle) -> None:
        where = handle.socket_directory
        self._handle = handle
        self.folder = handle.folder
        self.url = _address.url(where, _database.ROLE, _database.DATABASE)
        self.admin_url = _address.url(
            where, _database.SUPERUSER, _database.DATABASE, search_path="public,message_store"
        )

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it, as :meth:`stop` does."""
        self.stop()

    def __repr__(self) -> str:
        """Return the folder and whether this share was stopped."""
        state = "stopped" if self._handle.is_released else "running"
        return f"<EmbeddedServer {state} in {str(self.folder)!r}>"

    def stop(self) -> None:
        """Release this share. The last one ends the server, and with it every connection.

        Returns when the server has ended, or immediately if others still use it. All commits
        are kept, unless the server is temporary: then its folder is removed. May be called again,
        and from any thread; raises nothing. In a forked child it releases the child's copy only.

        Example::

            server = embedded.start("./data")
            server.stop()
        """
        self._handle.release()


def start(
    folder: str | os.PathLike[str] | None = None,
    *,
    fast: bool = False,
    settings: Mapping[str, str] | None = None,
    install: bool = True,
    timeout: float = 60.0,
) -> EmbeddedServer:
    """Start a PostgreSQL on the folder, or join the running one, and make its Message DB ready.

    Blocks, about 1.2 s for a new folder and 0.1 s for one that was used before; in an event loop,
    call it in a thread. The server listens on a Unix socket that only this user and root can reach,
    without a password, and not on the network. Its programs are those of :func:`find_binaries`; its
    log is ``server.log`` in the folder. If PostgreSQL dies (killed, out of memory) while the server
    is in use, it is started again at the same address, at most five times a minute.

    Example::

        with embedded.start("./data") as server:
            client = Client(server.url)

    Args:
        folder: the folder of the data. It is created if it does not exist; an existing one must be
            empty or of an earlier start. Commits in it last. None makes a temporary server in a new
            folder that is removed with it.
        fast: turn off fsync and similar settings, for tests: a crash of the machine destroys the
            data. Only for temporary servers.
        settings: PostgreSQL settings for the server, such as ``{"shared_buffers": "16MB"}``. They
            apply if this call is the one that starts it.
        install: install the Message DB schema unless it is there. If not, the database and the role
            are created, and are empty.
        timeout: seconds for the whole, including the wait for other processes that start or stop
            the same folder's server.

    Returns:
        The share in the server. It need not be kept: the server runs until it is stopped or this
        process ends.

    Raises:
        ValidationError: the folder's name, ``fast`` with a folder, or a setting was refused;
            nothing was touched.
        EmbeddedServerError: no programs, a folder that cannot be used or holds something else or
            data of another major version, a server that does not start, runs with other settings
            than the requested ones, or cannot be reached. The text says which, and what to do. Data
            in the folder is unchanged.
    """
    path = _options.check_folder_argument(folder, fast)
    asked = _options.check_settings(settings, fast=fast, lasts=path is not None)
    if sys.platform == "win32":
        raise EmbeddedServerError(
            "the embedded server works on Linux and macOS, not on Windows. Nothing was started."
            " Use any PostgreSQL server or a Docker container and pass its URL."
        )
    deadline = time.monotonic() + timeout
    if path is None or not _folder.is_locked(path, _folder.SERVER_LOCK, exclusive=False):
        find()  # before anything is created for a server that cannot be started
    share = ServerHandle(temporary_folder() if path is None else path, temporary=path is None)
    try:
        if path is not None:
            _folder.prepare(path)
        return _start(share, asked, install=install, deadline=deadline)
    except BaseException:
        share.release()
        raise


def find_running_url(folder: str | os.PathLike[str]) -> str | None:
    """Return the URL of the server that runs on a folder, without a share in it; None without one.

    It may end at any time: nothing holds it.
    """
    path = Path(folder)
    if not _folder.is_locked(path, _folder.SERVER_LOCK, exclusive=False):
        return None
    state = _folder.read_state(path)
    if state is None:
        return None
    return _address.url(str(state["socket_directory"]), _database.ROLE, _database.DATABASE)


def _start(
    handle: ServerHandle, asked: dict[str, str], *, install: bool, deadline: float
) -> EmbeddedServer:
    folder = handle.folder
    start_lock = _folder.take_lock(folder, _folder.START_LOCK, exclusive=True, deadline=deadline)
    try:
        # While we hold start.lock no supervisor ends, except after PostgreSQL's own end.
        handle.use_lock = _folder.take_lock(
            folder, _folder.USE_LOCK, exclusive=False, deadline=deadline
        )
        _supervisor_process.reap()
        state = _join(folder, deadline, role=not install)
        if state is None:
            state, handle.supervisor, handle.pipe = _supervisor_process.spawn(
                folder, asked, temporary=handle.temporary, deadline=deadline
            )
            _check_ours(folder, state, deadline, role=not install)
        _check_settings(folder, asked, state)
        handle.socket_directory = str(state["socket_directory"])
        server = EmbeddedServer(handle)
        if install:
            try:
                _database.install(server.admin_url)
            except (psycopg.Error, OSError) as exc:
                raise _database.unusable_server_error(folder, exc) from exc
    finally:
        os.close(start_lock)
    return server


def _join(folder: Path, deadline: float, *, role: bool) -> dict[str, Any] | None:
    """Return the state of the running server, None if none runs. Only a connection proves it."""
    reason = "it has not reported its socket"
    while _folder.is_locked(folder, _folder.SERVER_LOCK, exclusive=False):
        state = _folder.read_state(folder)
        if state is not None:
            try:
                left = deadline - time.monotonic()
                if _database.prepare(state, left, role=role):
                    return state
                reason = "another server responds at its address"
            except psycopg.Error as exc:
                reason = str(exc).strip()
        if time.monotonic() > deadline:
            raise EmbeddedServerError(
                f"a server runs on {folder} and cannot be reached from here:"
                f" {reason}{_database.environment_hint()}. Nothing was sent. It may be recovering"
                " after a crash (use a longer timeout), or run in another container, whose"
                f" sockets are not shared. See {folder / _folder.LOG}."
            )
        time.sleep(_POLL)
    return None


def _check_ours(folder: Path, state: dict[str, Any], deadline: float, *, role: bool) -> None:
    try:
        left = deadline - time.monotonic()
        ours = _database.prepare(state, left, role=role)
    except psycopg.Error as exc:
        raise _database.unusable_server_error(folder, exc) from exc
    if not ours:
        raise _database.unusable_server_error(
            folder, RuntimeError("another server responds at its address")
        )


def _check_settings(folder: Path, asked: dict[str, str], state: dict[str, Any]) -> None:
    running: dict[str, str] = state.get("settings") or {}
    differing = {name: value for name, value in asked.items() if running.get(name) != value}
    if differing:
        wanted = ", ".join(f"{name} = {value}" for name, value in sorted(differing.items()))
        raise EmbeddedServerError(
            f"the server that already runs on {folder} was not started with {wanted}. Nothing was"
            " sent; it runs unchanged. Omit the settings, or stop every process that uses the"
            " folder and start it with them."
        )

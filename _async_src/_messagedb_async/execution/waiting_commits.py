"""Connections whose commit got no response in time: kept apart until the server has responded."""

from __future__ import annotations

import math
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

from messagedb._concurrency.backend_async import Event, Task
from messagedb._concurrency.pooling_async import return_connection
from messagedb._connection.commit_notices import has_answered
from messagedb._connection.history import parse_history
from messagedb._errors import MessageDBError
from messagedb._sql.statements import HISTORY, Statement, array_literal

from ..connection.connection import AsyncStoreConnection, AsyncStoreCursor, execute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool

    from messagedb._concurrency.callables import AsyncThunk
    from messagedb._connection.session_config import SessionConfig

# Intervals in seconds between checks whether they have a response, at first and later, and whether
# the server still works on them.
_FIRST_CHECK_SECONDS = 0.005
_CHECK_SECONDS = 0.1
_QUERY_SECONDS = 2.0

_BUSY_PIDS = b"""
SELECT pid FROM pg_stat_activity
WHERE pid = ANY ($1::int[]) AND coalesce(state, 'active') = 'active'
  AND wait_event_type IS DISTINCT FROM 'Lock'
  AND wait_event IS DISTINCT FROM 'ClientRead'
"""
_HAS_WAITING = b"""
SELECT EXISTS (SELECT FROM pg_stat_activity
               WHERE wait_event = 'SyncRep' AND usename = session_user)
"""
_NOT_IN_RECOVERY = b"SELECT pg_is_in_recovery()"


class AsyncWaitingCommits:
    """Connections that keep their place in the pool while the server may work on their commit.

    A client cannot end a commit that waits for a synchronous standby: closing the connection leaves
    the server's process running, and the next one would only add to it. So a connection is released
    when the server has responded, when it is broken, or when the server, asked on a separate
    connection, is not at work on it: then the network did not respond.

    Attributes:
        connections: those that have a place of the pool each.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        session_config: SessionConfig,
        connect: AsyncThunk[AsyncConnection[Any]],
    ) -> None:
        self._pool = pool
        self._session_config = session_config
        self._connect = connect
        self.connections: list[AsyncConnection[Any]] = []
        self._task: Task[None] | None = None
        self._stop_requested = Event()
        self._lock = threading.Lock()
        self._pause = _FIRST_CHECK_SECONDS

    def add(self, conn: AsyncConnection[Any]) -> None:
        """Take a connection without a response, instead of returning it to the pool."""
        self.connections.append(conn)
        self._pause = _FIRST_CHECK_SECONDS
        self.ensure_watching()

    def ensure_watching(self) -> None:
        """Watch the connections again, should an exception from outside have interrupted that."""
        with self._lock:
            if self._task is None or self._task.is_done:
                self._task = Task(self._watch)

    async def close(self) -> None:
        """Close all of them: the client is being closed, and its places are not needed."""
        self._stop_requested.set()
        task = self._task
        if task is not None:
            await task.stop()
        for conn in list(self.connections):
            await self._release(conn)

    async def _watch(self) -> None:
        next_question = 0.0
        while True:
            with self._lock:
                if not self.connections or self._stop_requested.is_set():
                    self._task = None
                    return
            for conn in list(self.connections):
                if conn.closed or has_answered(conn.pgconn):
                    await self._release(conn)
            if self.connections and monotonic() >= next_question:
                await self._release_idle()
                next_question = monotonic() + _QUERY_SECONDS
            await self._stop_requested.wait(self._pause)
            self._pause = min(2 * self._pause, _CHECK_SECONDS)

    async def _release_idle(self) -> None:
        """Ask the server which of them it is at work on, and release the others."""
        asked = list(self.connections)
        try:
            busy = await self._find_busy(asked)
        except (MessageDBError, psycopg.Error):
            # It cannot be asked: then no place could be used, either.
            return
        for conn in asked:
            if conn not in busy:
                await self._release(conn)

    async def _find_busy(
        self, conns: Sequence[AsyncConnection[Any]]
    ) -> Sequence[AsyncConnection[Any]]:
        """Return those of the connections that the server is at work on.

        Of a server with another history none is: it is not the one that they are connected to.

        Raises:
            psycopg.Error: it could not be asked.
            StoreUnavailableError: the same.
        """
        session_config = self._session_config
        probe = await self._connect()
        try:
            if isinstance(probe, AsyncStoreConnection):
                probe.deadline = monotonic() + session_config.connect_seconds
            cursor = AsyncStoreCursor(probe)
            if not session_config.session_settings:
                rows = await execute(cursor, Statement(_HAS_WAITING, ()))
                return conns if rows[0][0] else ()
            pids = array_literal(conn.pgconn.backend_pid for conn in conns)
            busy = {pid for (pid,) in await execute(cursor, Statement(_BUSY_PIDS, (pids,)))}
            question = HISTORY if session_config.has_readable_history else _NOT_IN_RECOVERY
            rows = await execute(AsyncStoreCursor(probe), Statement(question, ()))
            history = parse_history(rows[0]) if session_config.has_readable_history else None
        finally:
            await probe.close()
        return [
            conn
            for conn in conns
            if conn.pgconn.backend_pid in busy and (history is None or has_history(conn, history))
        ]

    async def _release(self, conn: AsyncConnection[Any]) -> None:
        """Close a connection, and release its place."""
        with self._lock:
            if conn not in self.connections:
                return
            self.connections.remove(conn)
        with suppress(psycopg.Error):
            await conn.close()
        if isinstance(conn, AsyncStoreConnection):
            conn.deadline = math.inf
        await return_connection(self._pool, conn)


def has_history(conn: AsyncConnection[Any], history: object) -> bool:
    """Return True if a connection is to a server of this history, as far as is known."""
    if not isinstance(conn, AsyncStoreConnection) or not conn.history.is_known:
        return True
    return conn.history == history

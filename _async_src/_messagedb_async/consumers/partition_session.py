"""The connection for the signs of life of a client's partitioned consumers: one for all."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import psycopg

from messagedb._concurrency.backend_async import Lock
from messagedb._connection.error_mapping import NOTHING_CHANGED, map_error

from ..connection.connection import AsyncStoreConnection, AsyncStoreCursor, execute

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from messagedb._sql.statements import Statement

    from ..client_core.core import AsyncClientCore


class AsyncPartitionSession:
    """A separate connection, so that a sign of life waits for no handler and no slot of the pool.

    Each statement is a transaction by itself, so that it works behind a pooler, too. A connection
    that is lost is replaced with the next statement.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._conn: AsyncConnection[Any] | None = None
        self._users: set[object] = set()

    async def execute(
        self, client: AsyncClientCore, statement: Statement, seconds: float
    ) -> list[tuple[Any, ...]]:
        """Execute a statement, and return its rows.

        Args:
            client: the client of the store.
            statement: the statement.
            seconds: how long to wait for the server. Then the connection is closed.

        Raises:
            MessageDBError: the store is unavailable, or refused it. If the connection was lost, the
                statement may have been executed, or still be.
        """
        async with self._lock:
            try:
                conn = await self._open(client)
                if isinstance(conn, AsyncStoreConnection):
                    conn.deadline = monotonic() + seconds
                rows: list[tuple[Any, ...]] = await execute(AsyncStoreCursor(conn), statement)
            except psycopg.Error as error:
                await self._drop()
                raise map_error(error, NOTHING_CHANGED) from error
            except BaseException:
                await self._drop()
                raise
            return rows

    def join(self, user: object) -> None:
        """Keep the connection open until ``leave``."""
        self._users.add(user)

    async def leave(self, user: object) -> None:
        """Close the connection if nothing else uses it. Does nothing if it was not joined."""
        self._users.discard(user)
        if not self._users:
            async with self._lock:
                if not self._users:
                    await self._drop()

    async def _open(self, client: AsyncClientCore) -> AsyncConnection[Any]:
        conn = self._conn
        if conn is None or conn.closed:
            conn = self._conn = await client.connect()
            if not conn.autocommit:
                await conn.set_autocommit(True)
        return conn

    async def _drop(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            with suppress(psycopg.Error, OSError):
                await conn.close()


def get_partition_session(client: AsyncClientCore) -> AsyncPartitionSession:
    """Return the session that the partitioned consumers of a client share."""
    return _sessions.setdefault(client, AsyncPartitionSession())


_sessions: WeakKeyDictionary[AsyncClientCore, AsyncPartitionSession] = WeakKeyDictionary()

"""The connection that holds the leases of a client: one for all of its consumers."""

from __future__ import annotations

import math
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import psycopg

from messagedb._concurrency.backend_async import Lock
from messagedb._connection.error_mapping import NOTHING_CHANGED, map_error
from messagedb._errors import MessageDBError, StoreUnavailableError, copy_error
from messagedb._sql import consumers as sql
from messagedb._sql.statements import BEGIN, ROLLBACK, Statement

from ..connection.connection import AsyncStoreConnection, AsyncStoreCursor, execute
from ..operations.internals import get_session_config

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from messagedb._consumers.position_stores import LeaseKeys

    from ..client_core.core import AsyncClientCore

# Time limit for an unresponsive server when a lease is released.
_RELEASE_SECONDS = 2.0
# A lease that is renewed a moment earlier than the interval needs no separate heartbeat.
_SHARED_HEARTBEAT = 0.9


class AsyncLeaseSession:
    """Advisory locks of one session, in a transaction that stays open as long as one is held.

    The server ends the session if it shows no sign of life for the timeout, and so frees the locks.
    They are locks of the session, so that each can be released by itself; the transaction gives the
    session its time limits, and keeps it behind a pooler.

    Args:
        timeout: seconds without a sign of life after which the server ends the session.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._interval = timeout / 3
        # Statements are executed one at a time; a failure is reported to all who waited meanwhile.
        self._lock = Lock()
        self._conn: AsyncConnection[Any] | None = None
        # Of the connection: a lease that was acquired on an earlier one is lost.
        self._number = 0
        self._held: set[LeaseKeys] = set()
        self._users: set[object] = set()
        self._heartbeat_at = 0.0
        self._failure: MessageDBError | None = None
        self._failed_at = 0.0

    async def acquire(self, client: AsyncClientCore, user: object, keys: LeaseKeys) -> int | None:
        """Try to acquire a lease.

        Args:
            client: the client of the store.
            user: the lease, for which the connection stays open until it is released.
            keys: its key.

        Returns:
            The number of the connection that holds it; None if another consumer has it.

        Raises:
            MessageDBError: the store is unavailable, or refused the connection. It is not held.
        """
        asked_at = monotonic()
        async with self._lock:
            if self._failure is not None and self._failed_at >= asked_at:
                raise copy_error(self._failure)
            self._users.add(user)
            if keys in self._held:
                return None
            try:
                conn = await self._open(client)
                self._set_deadline(conn, self._timeout)
                # By the simple protocol, as the heartbeat.
                cursor = await AsyncStoreCursor(conn).execute(_format_try(keys), prepare=False)
                rows = await cursor.fetchall()
            except psycopg.Error as error:
                failure = map_error(error, NOTHING_CHANGED)
                await self._drop(failure)
                raise failure from error
            except MessageDBError as error:
                await self._drop(error)
                raise
            except BaseException:
                await self._drop(None)
                raise
            self._heartbeat_at = monotonic()
            if not rows:
                return None
            self._held.add(keys)
            return self._number

    async def renew(self, client: AsyncClientCore, number: int) -> None:
        """Show a sign of life, if none was shown since the last interval.

        Args:
            client: the client of the store.
            number: the connection's, as ``acquire`` returned it.

        Raises:
            StoreUnavailableError: that connection is gone, and with it all leases that it held.
        """
        async with self._lock:
            conn = await self._find(client, number)
            if monotonic() - self._heartbeat_at >= self._interval * _SHARED_HEARTBEAT:
                await self._execute(conn, sql.KEEP_LEASE)

    async def query(
        self, client: AsyncClientCore, number: int, text: bytes
    ) -> list[tuple[Any, ...]]:
        """Execute a statement, which is a sign of life, too, and return its rows.

        Args:
            client: the client of the store.
            number: the connection's, as ``acquire`` returned it.
            text: the statement.

        Raises:
            StoreUnavailableError: that connection is gone, and with it all leases that it held.
        """
        async with self._lock:
            conn = await self._find(client, number)
            cursor = await self._execute(conn, text)
            return await cursor.fetchall()

    async def _find(self, client: AsyncClientCore, number: int) -> AsyncConnection[Any]:
        """Return the connection with this number, if it still holds its leases."""
        conn = self._conn
        if conn is None or number != self._number:
            raise self._connection_lost_error()
        if _has_server_changed(client, conn):
            failure = StoreUnavailableError(
                "the store is on another server now, as after a failover, and the lease was"
                " held on the previous one. Nothing was sent."
            )
            await self._drop(failure)
            raise failure
        return conn

    async def release(self, user: object, keys: LeaseKeys, number: int | None) -> None:
        """Release a lease, and close the connection if it was the last one.

        Args:
            user: the lease.
            keys: its key.
            number: the number of the connection that held it; None if it was not held.
        """
        async with self._lock:
            self._users.discard(user)
            conn = self._conn
            if conn is None:
                if not self._users:
                    self._failure = None
                return
            is_held = number == self._number and keys in self._held
            try:
                # So that it is free when this returns: a closed session takes a moment to end.
                self._set_deadline(conn, _RELEASE_SECONDS)
                if is_held:
                    self._held.discard(keys)
                    await AsyncStoreCursor(conn).execute(_format_release(keys), prepare=False)
                    self._heartbeat_at = monotonic()
                if not self._users:
                    await AsyncStoreCursor(conn).execute(ROLLBACK, prepare=False)
            except (psycopg.Error, OSError) as error:
                failure = (
                    map_error(error, NOTHING_CHANGED) if isinstance(error, psycopg.Error) else None
                )
                await self._drop(failure)
                return
            except BaseException:
                await self._drop(None)
                raise
            if not self._users:
                await self._drop(None)

    async def _open(self, client: AsyncClientCore) -> AsyncConnection[Any]:
        """Return the connection, in its transaction."""
        conn = self._conn
        if conn is not None:
            return conn
        conn = await client.connect()
        # From here on it is closed when it is dropped.
        self._conn = conn
        self._number += 1
        self._set_deadline(conn, self._timeout)
        if not conn.autocommit:
            await conn.set_autocommit(True)
        cursor = AsyncStoreCursor(conn)
        await cursor.execute(BEGIN, prepare=False)
        milliseconds = str(math.ceil(self._timeout * 1000))
        await execute(cursor, Statement(sql.SET_LEASE_LIMITS, (milliseconds,)))
        return conn

    async def _execute(self, conn: AsyncConnection[Any], text: bytes) -> AsyncStoreCursor:
        """Show a sign of life, and release the snapshot that the last statement may hold.

        By the simple protocol: the result of another one stays open until the next, with its
        snapshot, which would keep vacuum from all rows that are deleted after it.
        """
        try:
            # A later response would come when the lease is already lost.
            self._set_deadline(conn, self._timeout)
            cursor = AsyncStoreCursor(conn)
            await cursor.execute(text, prepare=False)
        except psycopg.Error as error:
            failure = map_error(error, NOTHING_CHANGED)
            await self._drop(failure)
            raise failure from error
        except BaseException:
            await self._drop(None)
            raise
        self._heartbeat_at = monotonic()
        return cursor

    async def _drop(self, failure: MessageDBError | None) -> None:
        """Close the connection: all of its leases are lost."""
        self._failure, self._failed_at = failure, monotonic()
        self._held.clear()
        conn, self._conn = self._conn, None
        if conn is not None:
            with suppress(psycopg.Error, OSError):
                await conn.close()

    def _connection_lost_error(self) -> MessageDBError:
        if self._failure is not None:
            return copy_error(self._failure)
        return StoreUnavailableError(
            "the connection that held the lease was closed. Nothing was changed."
        )

    def _set_deadline(self, conn: AsyncConnection[Any], seconds: float) -> None:
        if isinstance(conn, AsyncStoreConnection):
            conn.deadline = monotonic() + seconds


def get_lease_session(client: AsyncClientCore, timeout: float) -> AsyncLeaseSession:
    """Return the session of a client's leases of a timeout: one for each timeout that is used."""
    return _sessions.setdefault(client, {}).setdefault(timeout, AsyncLeaseSession(timeout))


_sessions: WeakKeyDictionary[AsyncClientCore, dict[float, AsyncLeaseSession]] = WeakKeyDictionary()


def _format_try(keys: LeaseKeys) -> bytes:
    if keys.is_shared:
        return sql.TRY_SHARED_LEASE % keys[:2]
    if keys.category is None:
        return sql.TRY_LEASE % keys[:2]
    return sql.TRY_PLACED_LEASE % (keys.category, *keys[:3])


def _format_release(keys: LeaseKeys) -> bytes:
    if keys.is_shared:
        return sql.RELEASE_SHARED_LEASE % keys[:2]
    if keys.category is None:
        return sql.RELEASE_LEASE % keys[:2]
    return sql.RELEASE_PLACED_LEASE % keys[:3]


def _has_server_changed(client: AsyncClientCore, conn: AsyncConnection[Any]) -> bool:
    """Return True if the client's newest connection is to a server with another history."""
    if not isinstance(conn, AsyncStoreConnection) or not conn.history.is_known:
        return False
    histories = get_session_config(client).histories
    return histories.latest_known not in (0, conn.history_number)

"""The lease of a consumer: who holds it runs, and loses it when it dies, vanishes or hangs."""

from __future__ import annotations

import math
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

from messagedb._connection.error_mapping import NOTHING_READ, first_line, translate
from messagedb._consumers.position_records import lease_lost
from messagedb._consumers.position_stores import lease_keys
from messagedb._errors import MessageDBError, StoreUnavailableError
from messagedb._sql import consumers as sql
from messagedb._sql.statements import BEGIN, ROLLBACK, Statement
from messagedb._subscriptions.availability import is_store_away
from messagedb._subscriptions.backoff import WHILE_AWAY
from messagedb._subscriptions.log_texts import text_of

from ..connection.connection import AsyncStoreConnection, AsyncStoreCursor, execute
from .run_state import log

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from ..client_core.core import AsyncClientCore
    from .run_state import AsyncRun


# How long a server that says nothing is waited for when the lease is given up.
_RELEASE = 2.0


class AsyncLease:
    """An advisory lock in a transaction that stays open, on a connection of its own.

    Args:
        client: whose server it is.
        name: the consumer's.
        timeout: seconds without a sign of life after which the server takes it away.

    Attributes:
        timeout: that.
        interval: seconds between two signs of life.
    """

    def __init__(self, client: AsyncClientCore, name: str, timeout: float) -> None:
        self.timeout = timeout
        self.interval = timeout / 3
        self._client = client
        # One lock for the whole database, which may hold two stores.
        schema = client._profile.settings.schema  # pyright: ignore[reportPrivateUsage]
        self._keys = lease_keys(f"{schema} {name}")
        self._conn: AsyncConnection[Any] | None = None

    async def acquire(self) -> bool:
        """Try to get it; tell whether it is held.

        Raises:
            StoreUnavailableError: the store is away. It is not held.
        """
        if self._conn is None:
            self._conn = await self._client.connect()
        conn = self._conn
        milliseconds = str(math.ceil(self.timeout * 1000))
        try:
            self._limit(conn)
            if not conn.autocommit:
                await conn.set_autocommit(True)
            cursor = AsyncStoreCursor(conn)
            await cursor.execute(BEGIN, prepare=False)
            rows = await execute(cursor, Statement(sql.HOLD_LEASE, (*self._keys, milliseconds)))
            if rows[0][3]:
                await self._let_go()
                return True
            await cursor.execute(ROLLBACK, prepare=False)
        except psycopg.Error as error:
            await self.release()
            raise translate(error, NOTHING_READ) from error
        except BaseException:
            await self.release()
            raise
        return False

    async def keep(self) -> None:
        """Show a sign of life.

        Raises:
            StoreUnavailableError: the connection is gone, and the lease with it.
        """
        conn = self._conn
        assert conn is not None
        if self._is_elsewhere(conn):
            await self.release()
            raise StoreUnavailableError(
                "the store is on another server now, as after a failover, and the lease was held "
                "on the one before. Nothing was sent."
            )
        try:
            self._limit(conn)
            await self._let_go()
        except psycopg.Error as error:
            await self.release()
            raise translate(error, NOTHING_READ) from error

    def _is_elsewhere(self, conn: AsyncConnection[Any]) -> bool:
        """Whether the client's newest connection is to a server with another history."""
        if not isinstance(conn, AsyncStoreConnection) or not conn.history.is_known:
            return False
        histories = self._client._profile.histories  # pyright: ignore[reportPrivateUsage]
        return histories.latest_known not in (0, conn.history_number)

    async def _let_go(self) -> None:
        """Show a sign of life, and let the snapshot go that the last statement may hold.

        By the simple protocol: the result of another one stays open to the next, with its snapshot,
        which would keep vacuum from all that is deleted after it.
        """
        assert self._conn is not None
        await AsyncStoreCursor(self._conn).execute(sql.KEEP_LEASE, prepare=False)

    async def release(self) -> None:
        """Give it up. Does nothing where it is not held."""
        conn, self._conn = self._conn, None
        if conn is None:
            return
        try:
            # So that it is free when this returns: a closed session takes a moment to end.
            if isinstance(conn, AsyncStoreConnection):
                conn.deadline = monotonic() + _RELEASE
            if not conn.closed:
                with suppress(psycopg.Error, OSError):
                    await AsyncStoreCursor(conn).execute(ROLLBACK, prepare=False)
        finally:
            with suppress(psycopg.Error, OSError):
                await conn.close()

    def _limit(self, conn: AsyncConnection[Any]) -> None:
        if isinstance(conn, AsyncStoreConnection):
            # An answer that comes later would find the lease gone.
            conn.deadline = monotonic() + self.timeout


async def take(run: AsyncRun, lease: AsyncLease) -> bool:
    """Wait until the lease is free and hold it; tell whether it is held, or the run is to stop."""
    failures = 0
    told = False
    while not run.is_stopping:
        try:
            if await lease.acquire():
                run.came_back()
                run.reason = None
                if not run.is_stopping:
                    run.state = "starting"
                return True
        except MessageDBError as error:
            if not is_store_away(error):
                raise
            failures += 1
            delay = WHILE_AWAY.get_backoff(failures)
            run.went_away(error, delay)
            await run.pause(delay)
            continue
        failures = 0
        run.came_back()
        run.state = "waiting"
        run.reason = "another consumer with this identifier runs"
        if not told:
            told = True
            log.info("%s: waiting, another consumer with this identifier runs", run.name)
        await run.pause(min(1.0, lease.interval))
    return False


async def keep(run: AsyncRun, lease: AsyncLease) -> None:
    """Show signs of life until the run is over: nothing else, which might keep it waiting."""
    try:
        while not run.ended.is_set():
            await run.ended.wait(lease.interval)
            if run.ended.is_set() or not await _renew(run, lease):
                return
    except Exception as error:
        # Without signs of life another one would take over from a consumer that goes on.
        run.fail(error)


async def _renew(run: AsyncRun, lease: AsyncLease) -> bool:
    """Show a sign of life; where the lease was lost, get it again; tell whether it is held."""
    try:
        await lease.keep()
    except MessageDBError as error:
        reason = first_line(error.__cause__) if isinstance(error.__cause__, psycopg.Error) else ""
        log.warning("%s: the lease was lost, and is taken again: %s", run.name, text_of(error))
    else:
        return True
    run.close_gate("the lease was lost")
    failures = 0
    until: float | None = None
    while not run.ended.is_set():
        try:
            if await lease.acquire():
                log.info("%s: the lease is held again", run.name)
                run.open_gate()
                return True
        except MessageDBError as error:
            if not is_store_away(error):
                run.fail(error)
                return False
            failures, until = failures + 1, None
            await run.ended.wait(WHILE_AWAY.get_backoff(failures))
            continue
        # It may be our own lost session that holds it, for as long as the server lets that be.
        until = until or monotonic() + lease.timeout
        if monotonic() >= until:
            run.fail(lease_lost(run.name, reason))
            return False
        await run.ended.wait(min(0.2, lease.interval))
    return False

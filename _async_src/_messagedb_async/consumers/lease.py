"""The lease of a consumer: its holder runs, and loses it when it dies, disappears or hangs."""

from __future__ import annotations

import math
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

from messagedb._connection.error_mapping import NOTHING_CHANGED, get_first_line, map_error
from messagedb._consumers.position_records import lease_lost_error
from messagedb._consumers.position_stores import derive_lease_keys
from messagedb._errors import MessageDBError, StoreUnavailableError
from messagedb._sql import consumers as sql
from messagedb._sql.statements import BEGIN, ROLLBACK, Statement
from messagedb._subscriptions.availability import is_store_unavailable
from messagedb._subscriptions.log_texts import format_error

from ..connection.connection import AsyncStoreConnection, AsyncStoreCursor, execute
from ..operations.internals import get_session_config
from ..subscriptions.availability import retry_while_unavailable
from .run_state import log

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from ..client_core.core import AsyncClientCore
    from .run_state import AsyncRunState


# Time limit for an unresponsive server when the lease is released.
_RELEASE_SECONDS = 2.0


class AsyncLease:
    """An advisory lock in a transaction that stays open, on a separate connection.

    Args:
        client: the client whose server has the lock.
        name: the consumer's.
        timeout: seconds without a sign of life after which the server releases it.

    Attributes:
        timeout: the same.
        interval: seconds between two signs of life.
    """

    def __init__(self, client: AsyncClientCore, name: str, timeout: float) -> None:
        self.timeout = timeout
        self.interval = timeout / 3
        self._client = client
        # One lock for the whole database, which may hold two stores.
        schema = get_session_config(client).settings.schema
        self._keys = derive_lease_keys(f"{schema} {name}")
        self._conn: AsyncConnection[Any] | None = None

    async def acquire(self) -> bool:
        """Try to acquire it; return True if it is held.

        Raises:
            StoreUnavailableError: the store is unavailable. It is not held.
        """
        if self._conn is None:
            self._conn = await self._client.connect()
        conn = self._conn
        milliseconds = str(math.ceil(self.timeout * 1000))
        try:
            self._set_deadline(conn)
            if not conn.autocommit:
                await conn.set_autocommit(True)
            cursor = AsyncStoreCursor(conn)
            await cursor.execute(BEGIN, prepare=False)
            rows = await execute(cursor, Statement(sql.HOLD_LEASE, (*self._keys, milliseconds)))
            if rows[0][3]:
                await self._heartbeat()
                return True
            await cursor.execute(ROLLBACK, prepare=False)
        except psycopg.Error as error:
            await self.release()
            raise map_error(error, NOTHING_CHANGED) from error
        except BaseException:
            await self.release()
            raise
        return False

    async def renew(self) -> None:
        """Show a sign of life.

        Raises:
            StoreUnavailableError: the connection is gone, and the lease with it.
        """
        conn = self._conn
        assert conn is not None
        if self._has_server_changed(conn):
            await self.release()
            raise StoreUnavailableError(
                "the store is on another server now, as after a failover, and the lease was held"
                " on the previous one. Nothing was sent."
            )
        try:
            self._set_deadline(conn)
            await self._heartbeat()
        except psycopg.Error as error:
            await self.release()
            raise map_error(error, NOTHING_CHANGED) from error

    def _has_server_changed(self, conn: AsyncConnection[Any]) -> bool:
        """Return True if the client's newest connection is to a server with another history."""
        if not isinstance(conn, AsyncStoreConnection) or not conn.history.is_known:
            return False
        histories = get_session_config(self._client).histories
        return histories.latest_known not in (0, conn.history_number)

    async def _heartbeat(self) -> None:
        """Show a sign of life, and release the snapshot that the last statement may hold.

        By the simple protocol: the result of another one stays open until the next, with its
        snapshot, which would keep vacuum from all rows that are deleted after it.
        """
        assert self._conn is not None
        await AsyncStoreCursor(self._conn).execute(sql.KEEP_LEASE, prepare=False)

    async def release(self) -> None:
        """Release it. Does nothing if it is not held."""
        conn, self._conn = self._conn, None
        if conn is None:
            return
        try:
            # So that it is free when this returns: a closed session takes a moment to end.
            if isinstance(conn, AsyncStoreConnection):
                conn.deadline = monotonic() + _RELEASE_SECONDS
            if not conn.closed:
                with suppress(psycopg.Error, OSError):
                    await AsyncStoreCursor(conn).execute(ROLLBACK, prepare=False)
        finally:
            with suppress(psycopg.Error, OSError):
                await conn.close()

    def _set_deadline(self, conn: AsyncConnection[Any]) -> None:
        if isinstance(conn, AsyncStoreConnection):
            # A later response would come when the lease is already lost.
            conn.deadline = monotonic() + self.timeout


async def acquire_lease(state: AsyncRunState, lease: AsyncLease) -> bool:
    """Wait until the lease is free, and acquire it; return False if the run is to stop."""
    signals, phase = state.signals, state.phase
    logged = False
    while not signals.is_stopping:
        is_held = await retry_while_unavailable(
            lease.acquire,
            pause=signals.pause,
            on_failure=state.availability.mark_unavailable,
            is_transient=is_store_unavailable,
        )
        if is_held is None:
            return False
        state.availability.mark_available()
        if is_held:
            phase.resume("starting")
            return True
        phase.wait("another consumer with this identifier runs")
        if not logged:
            logged = True
            log.info("%s: waiting, another consumer with this identifier runs", state.name)
        await signals.pause(min(1.0, lease.interval))
    return False


async def renew_lease(state: AsyncRunState, lease: AsyncLease) -> None:
    """Renew it until the run has ended: nothing else, which might delay it."""
    try:
        while await state.signals.pause_until_ended(lease.interval):
            if not await _renew_or_acquire(state, lease):
                return
    except Exception as error:
        # Without renewals another one would take over from a running consumer.
        state.signals.fail(error)


async def _renew_or_acquire(state: AsyncRunState, lease: AsyncLease) -> bool:
    """Renew it; acquire it again if it was lost; return True if it is held."""
    try:
        await lease.renew()
    except MessageDBError as error:
        reason = (
            get_first_line(error.__cause__) if isinstance(error.__cause__, psycopg.Error) else ""
        )
        log.warning(
            "%s: the lease was lost, and is acquired again: %s", state.name, format_error(error)
        )
    else:
        return True
    state.signals.pause_messages("the lease was lost")
    return await _acquire_again(state, lease, reason)


async def _acquire_again(state: AsyncRunState, lease: AsyncLease, reason: str) -> bool:
    signals = state.signals
    give_up_at: float | None = None

    def wait_longer(error: Exception, seconds: float) -> None:
        nonlocal give_up_at
        give_up_at = None

    while not signals.ended.is_set():
        is_held = await retry_while_unavailable(
            lease.acquire,
            pause=signals.pause_until_ended,
            on_failure=wait_longer,
            is_transient=is_store_unavailable,
        )
        if is_held is None:
            break
        if is_held:
            log.info("%s: the lease is held again", state.name)
            signals.resume_messages()
            return True
        # Our own lost session may still hold it, until the server ends that.
        give_up_at = give_up_at or monotonic() + lease.timeout
        if monotonic() >= give_up_at:
            signals.fail(lease_lost_error(state.name, reason))
            return False
        await signals.pause_until_ended(min(0.2, lease.interval))
    return False

"""Probe of a consumer's own store, after a handler could not reach a store."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import psycopg

from messagedb._connection.error_mapping import (
    NOTHING_CHANGED,
    NOTHING_WRITTEN,
    is_connection_lost,
    map_error,
)
from messagedb._consumers.failure_policy import (
    find_full_tablespace,
    is_write_refused,
    may_come_from_past_outage,
    may_have_passed,
)
from messagedb._errors import MessageDBError
from messagedb._sql import consumers as sql
from messagedb._sql.statements import BEGIN, ROLLBACK, Statement
from messagedb._subscriptions.availability import is_store_unavailable

from ..connection.connection import AsyncStoreConnection, AsyncStoreCursor, execute

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from ..client_core.core import AsyncClientCore
    from ..transactions.transaction import AsyncTransaction
    from .run_state import AsyncRunState

# Longer than the response time of a busy server.
_RESPONSE_SECONDS = 5.0


AttemptStatus: TypeAlias = Literal["counted", "recovered", "unavailable"]
"""Status of a failed attempt. ``counted``: it is an attempt, the store was available.

``unavailable``: it is not an attempt, the store is unavailable now. ``recovered``: it is not an
attempt, the store is available again and may have been unavailable before.
"""


async def get_attempt_status(
    state: AsyncRunState,
    client: AsyncClientCore,
    problem: Exception,
    may_be_unavailable: bool,
    available_for: float | None,
) -> AttemptStatus:
    """Return whether an attempt counts, or failed because the store was unavailable.

    A store that responds to the query may have been unavailable just before: one such attempt does
    not count, either. If a write was refused, the attempts of the next second do not count.

    Args:
        state: the run's.
        client: the client of the store.
        problem: the handler's error.
        may_be_unavailable: True if an unavailable store can cause such an error.
        available_for: seconds since the first such attempt after the store was unavailable; None if
            there was none.

    Raises:
        MessageDBError: the store responds and refuses the client permanently.
    """
    if not may_be_unavailable:
        return "counted"
    if state.signals.is_stopping or not await _is_store_responding(client, problem):
        return "unavailable"
    state.availability.mark_available()
    return "recovered" if may_come_from_past_outage(problem, available_for) else "counted"


def is_store_problem(error: psycopg.Error, transaction: AsyncTransaction | None) -> bool:
    """Return True if a handler's own statement failed because of the store, not of its contents."""
    state: Any = transaction and cast("Any", transaction)._state
    if state is not None and is_connection_lost(error, state.conn.closed):
        return True
    passes = is_store_unavailable(map_error(error, NOTHING_WRITTEN))
    return passes and error.sqlstate is not None and may_have_passed(error)


async def _is_store_responding(client: AsyncClientCore, problem: Exception) -> bool:
    """Return True if the client's store does now what it might not have done for a handler.

    On a separate connection: whether one of the pool is free says nothing about the store.

    Args:
        client: the client of the store.
        problem: the handler's error. If a write was refused, a write is tried, too:
            of a megabyte, to a temporary table, rolled back. Another tablespace cannot be tried
            so: if its disk was full, it still is until the handler succeeds.

    Raises:
        MessageDBError: the store responds and refuses the client permanently.
    """
    try:
        conn = await client.connect()
        try:
            is_usable = await _is_connection_usable(conn, with_write=is_write_refused(problem))
            return is_usable and not await _is_tablespace_full(conn, problem)
        finally:
            with suppress(psycopg.Error, OSError):
                await conn.close()
    except MessageDBError as error:
        if not is_store_unavailable(error):
            raise
        return False


async def _is_connection_usable(conn: AsyncConnection[Any], *, with_write: bool) -> bool:
    """Return True if the server responds and, if that is asked for, executes a write.

    Raises:
        MessageDBError: it did not respond, or refused a statement. Nothing is stored.
    """
    if isinstance(conn, AsyncStoreConnection):
        conn.deadline = monotonic() + _RESPONSE_SECONDS
    try:
        if not conn.autocommit:
            await conn.set_autocommit(True)
        cursor = AsyncStoreCursor(conn)
        facts = await execute(cursor, Statement(sql.TAKES_WRITES, ()))
        takes_writes, commits_wait, may_try = facts[0]
        if commits_wait:
            # These commits hold the locks of their categories, so writes of others wait, too.
            return False
        if not with_write:
            return True
        if not takes_writes:
            return False
        await cursor.execute(BEGIN, prepare=False)
        await cursor.execute(sql.TRY_TRANSACTION, prepare=False)
        if may_try:
            await cursor.execute(sql.TRY_WRITE, prepare=False)
        await cursor.execute(ROLLBACK, prepare=False)
    except psycopg.Error as error:
        raise map_error(error, NOTHING_CHANGED) from error
    return True


async def _is_tablespace_full(conn: AsyncConnection[Any], problem: Exception) -> bool:
    """Return True if a handler's write found the disk of a tablespace of this database full.

    Raises:
        MessageDBError: the server did not respond. Nothing is stored.
    """
    numbers = find_full_tablespace(problem)
    if numbers is None:
        return False
    try:
        rows = await execute(AsyncStoreCursor(conn), Statement(sql.HAS_TABLESPACE, numbers))
    except psycopg.Error as error:
        raise map_error(error, NOTHING_CHANGED) from error
    return bool(rows[0][0])

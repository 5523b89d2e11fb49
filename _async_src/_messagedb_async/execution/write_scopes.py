"""The statements around a write under a category's lock, and how it is rolled back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
from psycopg.pq import TransactionStatus

from messagedb._operations.category_locks import get_category_lock

from ..connection.connection import AsyncStoreCursor
from ..connection.psycopg_internals import pipeline

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import TupleRow

    from messagedb._sql.statements import Statement


class WriteScope(msgspec.Struct, frozen=True):
    """The statements around a write.

    Attributes:
        enter: those before it.
        leave: those after it.
        rollback: those that roll it back; empty for a rollback of the whole transaction.
        is_autocommit: whether one round trip is a transaction by itself, and needs no statement
            before or after it.
        records_lock: whether the lock outlives the write, and so is recorded for later ones.
    """

    enter: tuple[Statement, ...]
    leave: tuple[Statement, ...]
    rollback: tuple[Statement, ...] = ()
    is_autocommit: bool = False
    records_lock: bool = False

    def build_lock(self, stream_name: str) -> Statement:
        """Return the statement that acquires the lock of a stream's category."""
        lock = get_category_lock(stream_name)
        return lock.build_recording_statement() if self.records_lock else lock.build_statement()


async def execute_all(conn: AsyncConnection[Any], statements: tuple[Statement, ...]) -> None:
    """Execute statements in one round trip. Their rows are not read."""
    async with pipeline(conn):
        for text, params in statements:
            await AsyncStoreCursor(conn).execute(text, params, prepare=False)


async def execute_pipelined(
    conn: AsyncConnection[Any],
    before: tuple[Statement, ...],
    statement: Statement,
    after: tuple[Statement, ...] = (),
) -> list[TupleRow]:
    """Execute statements in one round trip, and return the rows of the wanted one.

    On a connection of ours it is prepared at its first use, which costs no additional round trip
    here; on another never: a statement that psycopg prepares at a later use counts as prepared also
    when an earlier statement has failed.
    """
    cursor = AsyncStoreCursor(conn)
    async with pipeline(conn):
        for text, params in before:
            await AsyncStoreCursor(conn).execute(text, params, prepare=False)
        await cursor.execute(*statement, binary=True, prepare=cursor.is_preparing)
        for text, params in after:
            await AsyncStoreCursor(conn).execute(text, params, prepare=False)
    return await cursor.fetchall()


async def abandon_scope(conn: AsyncConnection[Any], scope: WriteScope) -> None:
    """Roll a scope back, without raising errors of the server over the current error."""
    with contextlib.suppress(psycopg.Error):
        await rollback_scope(conn, scope)


async def rollback_scope(conn: AsyncConnection[Any], scope: WriteScope) -> None:
    """Roll a scope back, if the server has not ended it by ending the session."""
    if conn.pgconn.transaction_status not in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
        return
    if not scope.rollback:
        await conn.rollback()
    # One by one: at a ROLLBACK psycopg forgets its prepared statements, and tells the server to
    # drop them after the following statement, which must not be one that it prepares. A cancelled
    # task may have no savepoint yet, or no longer: then its transaction is aborted, and the
    # cancellation is raised.
    with contextlib.suppress(psycopg.errors.InvalidSavepointSpecification):
        for statement in scope.rollback:
            await execute_all(conn, (statement,))

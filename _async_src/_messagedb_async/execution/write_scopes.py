"""What writes under a category's lock share: the statements around them, and taking them back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
from psycopg.pq import TransactionStatus

from messagedb._operations.category_locks import lock_of

from ..connection.connection import AsyncStoreCursor
from ..connection.psycopg_internals import pipeline

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import TupleRow

    from messagedb._sql.statements import Statement


class Frame(msgspec.Struct, frozen=True):
    """The statements that begin a write, end it, and take it back (none: a rollback of all)."""

    begin: tuple[Statement, ...]
    end: tuple[Statement, ...]
    undo: tuple[Statement, ...] = ()
    implicit: bool = False
    """Whether one round trip is a transaction by itself, and needs no statement to begin or end."""
    marks: bool = False
    """Whether the lock outlives the write, and so is marked for the writes that follow."""

    def lock(self, stream_name: str) -> Statement:
        """The statement that takes the lock of a stream's category."""
        lock = lock_of(stream_name)
        return lock.take_and_mark() if self.marks else lock.take()


async def run(conn: AsyncConnection[Any], statements: tuple[Statement, ...]) -> None:
    """Execute statements in one round trip. Their rows are not looked at."""
    async with pipeline(conn):
        for text, params in statements:
            await AsyncStoreCursor(conn).execute(text, params, prepare=False)


async def run_for(
    conn: AsyncConnection[Any],
    before: tuple[Statement, ...],
    wanted: Statement,
    after: tuple[Statement, ...] = (),
) -> list[TupleRow]:
    """Execute statements in one round trip, and give the rows of the wanted one.

    On a connection of ours it is prepared at its first use, which costs no round trip of its own
    here; on another never: what psycopg prepares at a later use it takes for prepared also when a
    statement before it has failed.
    """
    cursor = AsyncStoreCursor(conn)
    async with pipeline(conn):
        for text, params in before:
            await AsyncStoreCursor(conn).execute(text, params, prepare=False)
        await cursor.execute(*wanted, binary=True, prepare=cursor.prepares)
        for text, params in after:
            await AsyncStoreCursor(conn).execute(text, params, prepare=False)
    return await cursor.fetchall()


async def give_up(conn: AsyncConnection[Any], frame: Frame) -> None:
    """Take back what the frame began, and raise nothing of the server's over the error at hand."""
    with contextlib.suppress(psycopg.Error):
        await undo(conn, frame)


async def undo(conn: AsyncConnection[Any], frame: Frame) -> None:
    """Take back what the frame began, if the server has not ended it by ending the session."""
    if conn.pgconn.transaction_status not in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
        return
    if not frame.undo:
        await conn.rollback()
    # One by one: at a ROLLBACK psycopg forgets what it has prepared, and tells the server so after
    # the statement that follows, which must not be one that it prepares.
    # A task that was cancelled may have no savepoint yet, or none any more: then its transaction is
    # aborted, and the cancellation goes on.
    with contextlib.suppress(psycopg.errors.InvalidSavepointSpecification):
        for statement in frame.undo:
            await run(conn, (statement,))

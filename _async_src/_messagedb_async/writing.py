"""Writes in a transaction, under the category's lock: by inserts, or by the functions alone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
from psycopg.pq import TransactionStatus

from messagedb import _outcomes as outcomes
from messagedb import _requests as requests
from messagedb import streams
from messagedb._arguments import meets
from messagedb._sql import LOCK, Statement

from .connection import AsyncStoreCursor, execute, pipeline

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import TupleRow

    from messagedb._requests import Write
    from messagedb._sql import Statements

# How often a write starts again after losing against a session that did not take the lock.
_ATTEMPTS = 3


class Frame(msgspec.Struct, frozen=True):
    """The statements that begin a write, end it, and take it back (none: a rollback of all)."""

    begin: tuple[Statement, ...]
    end: tuple[Statement, ...]
    undo: tuple[Statement, ...] = ()


_MESSAGE_FRAME = Frame(
    (Statement(b"SAVEPOINT _messagedb_message", ()),),
    (Statement(b"RELEASE SAVEPOINT _messagedb_message", ()),),
    (
        Statement(b"ROLLBACK TO SAVEPOINT _messagedb_message", ()),
        Statement(b"RELEASE SAVEPOINT _messagedb_message", ()),
    ),
)


async def run(conn: AsyncConnection[Any], statements: tuple[Statement, ...]) -> None:
    """Execute statements in one round trip. Their rows are not looked at."""
    async with pipeline(conn):
        for text, params in statements:
            await AsyncStoreCursor(conn).execute(text, params, prepare=False)


async def run_for_last(
    conn: AsyncConnection[Any], statements: tuple[Statement, ...]
) -> list[TupleRow]:
    """Execute statements in one round trip, and give the rows of the last."""
    *first, last = statements
    cursor = AsyncStoreCursor(conn)
    async with pipeline(conn):
        for text, params in first:
            await AsyncStoreCursor(conn).execute(text, params, prepare=False)
        await cursor.execute(*last, binary=True)
    return await cursor.fetchall()


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


def lock(stream_name: str) -> Statement:
    """The statement that takes the lock of a stream's category, until the transaction ends."""
    return Statement(LOCK, (streams.hash_64(streams.category(stream_name)),))


async def write_one_joined(
    conn: AsyncConnection[Any], sql: Statements, write: Write, frame: Frame
) -> list[int]:
    """Write one message in the caller's transaction, which no outcome of it aborts."""
    (message,) = write.encoded
    statement = Statement(
        sql.write_under_lock,
        (
            message.id,
            write.stream_name,
            message.type,
            message.data,
            message.metadata,
            write.expected,
        ),
    )
    rows = await run_for_last(conn, (lock(write.stream_name), statement))
    position = outcomes.written_position(write, rows[0])
    if position is not None:
        return [position]
    # It met what it did not see: behind a savepoint the server may say what that is.
    return await write_directly(conn, sql, write, frame)


async def write_directly(
    conn: AsyncConnection[Any], sql: Statements, write: Write, frame: Frame
) -> list[int]:
    """Write a batch under the lock: one round trip to look, one to insert."""
    ids = "{" + ",".join(message.id for message in write.encoded) + "}"
    look = (
        *frame.begin,
        lock(write.stream_name),
        Statement(sql.find_messages, (write.stream_name, ids)),
    )
    conflict: psycopg.Error | None = None
    for _ in range(_ATTEMPTS):
        try:
            version, found = outcomes.looked(await run_for_last(conn, look))
            plan = requests.plan(write, version, found)
            await run(conn, (*_inserts(sql, write, plan, version), *frame.end))
        except psycopg.errors.UniqueViolation as error:
            # A session that holds another lock, or none, stored one of the ids since the look.
            conflict = error
            await undo(conn, frame)
        except BaseException:
            await undo(conn, frame)
            raise
        else:
            return plan.positions
    assert conflict is not None
    raise outcomes.lost_to(write, conflict) from conflict


def _inserts(
    sql: Statements, write: Write, plan: requests.Plan, version: int
) -> tuple[Statement, ...]:
    statements: list[Statement] = []
    for count, array in requests.chunks(plan.missing):
        statements.append(Statement(sql.insert_messages, (write.stream_name, version, array)))
        version += count
    return tuple(statements)


async def write_by_functions(
    conn: AsyncConnection[Any], sql: Statements, write: Write, frame: Frame, finder: Finder
) -> list[int]:
    """Write a batch by calls of write_message alone, each behind a savepoint of its own.

    For a role that may not insert into the table, and for a database that has only the functions.
    """
    begin = (
        *frame.begin,
        Statement(sql.acquire_lock, (write.stream_name,)),
        Statement(sql.version_and_isolation, (write.stream_name,)),
    )
    try:
        found, isolation = (await run_for_last(conn, begin))[0]
        outcomes.check_isolation(isolation)
        version: int = found
        positions: list[int] = []
        for index in range(len(write.encoded)):
            place = None
            if meets(requests.expected_at(write.expected, index), version):
                place = await _call_write_message(conn, sql, write, index, version, finder)
            else:
                place = await finder.find(conn, write, index)
                if place is None:
                    raise requests.wrong_version(write, index, found)
            position = requests.position_of(write, write.encoded[index].id, place)
            positions.append(position)
            version = max(version, position)
        await run(conn, frame.end)
    except BaseException:
        await undo(conn, frame)
        raise
    return positions


async def _call_write_message(
    conn: AsyncConnection[Any],
    sql: Statements,
    write: Write,
    index: int,
    version: int,
    finder: Finder,
) -> tuple[str, int]:
    call = requests.call_of_write(sql, write, index, version)
    try:
        rows = await run_for_last(conn, (*_MESSAGE_FRAME.begin, call))
    except psycopg.Error as error:
        if not outcomes.is_conflict(error):
            raise
        await undo(conn, _MESSAGE_FRAME)
        place = await finder.find(conn, write, index)
        if place is None:
            raise outcomes.lost_to(write, error, index, finder.table_readable) from error
        return place
    await run(conn, _MESSAGE_FRAME.end)
    return write.stream_name, rows[0][0]


class Finder(msgspec.Struct, frozen=True):
    """Looks for a message id: in the table, or where that cannot be read in its stream."""

    sql: Statements
    table_readable: bool

    async def find(
        self, conn: AsyncConnection[Any], write: Write, index: int
    ) -> tuple[str, int] | None:
        """The stream and position of message *index* of a write, None where it is not stored.

        Without the table only its own stream can be looked at, page by page.
        """
        id = write.encoded[index].id
        if self.table_readable:
            rows = await execute(AsyncStoreCursor(conn), Statement(self.sql.find_message, (id,)))
            return (rows[0][0], rows[0][1]) if rows else None
        position = 0
        while True:
            page = requests.page_of_functions(self.sql, write.stream_name, position)
            rows = await execute(AsyncStoreCursor(conn), page.call)
            for row in rows:
                if row[0] == id and row[1] == write.stream_name:
                    return row[1], row[3]
            if len(rows) < page.size:
                return None
            position = rows[-1][page.column] + 1

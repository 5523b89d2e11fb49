"""Writes by the server's functions alone, for a role or a database that allows nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import psycopg

from messagedb._operations import requests, write_results
from messagedb._operations.validation import meets
from messagedb._sql.history import WAIT_FOR_STANDBY
from messagedb._sql.statements import Statement

from ..connection.connection import AsyncStoreCursor, execute
from .write_scopes import Frame, give_up, run, run_for, undo

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from messagedb._operations.requests import Write
    from messagedb._sql.statements import Statements

_MESSAGE_FRAME = Frame(
    (Statement(b"SAVEPOINT _messagedb_message", ()),),
    (Statement(b"RELEASE SAVEPOINT _messagedb_message", ()),),
    (
        Statement(b"ROLLBACK TO SAVEPOINT _messagedb_message", ()),
        Statement(b"RELEASE SAVEPOINT _messagedb_message", ()),
    ),
)


async def write_by_functions(
    conn: AsyncConnection[Any], sql: Statements, write: Write, frame: Frame, finder: Finder
) -> list[int]:
    """Write a batch by calls of write_message alone, each behind a savepoint of its own.

    For a role that may not insert into the table, and for a database that has only the functions.
    """
    begin = (*frame.begin, Statement(sql.acquire_lock, (write.stream_name,)))
    look = Statement(sql.version_and_isolation, (write.stream_name,))
    try:
        found, isolation = (await run_for(conn, begin, look))[0]
        write_results.check_isolation(isolation)
        version: int = found
        positions: list[int] = []
        for index in range(len(write.encoded)):
            place = None
            if meets(write_results.expected_at(write.expected, index), version):
                place = await _call_write_message(conn, sql, write, index, version, finder)
            else:
                place = await finder.find(conn, write, index)
                if place is None:
                    raise write_results.wrong_version(write, index, found)
            position = write_results.position_of(write, write.encoded[index].id, place)
            positions.append(position)
            if write.is_whole and (position <= found) != (positions[0] <= found):
                # Some of its messages were stored before, and others were not.
                raise write_results.wrong_version(write, 0, found)
            version = max(version, position)
        await run(conn, frame.end)
    except BaseException:
        await give_up(conn, frame)
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
        rows = await run_for(conn, _MESSAGE_FRAME.begin, call)
    except psycopg.Error as error:
        if not write_results.is_conflict(error):
            raise
        await undo(conn, _MESSAGE_FRAME)
        place = await finder.find(conn, write, index)
        if place is None:
            raise write_results.lost_to(write, error, index, finder.table_readable) from error
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
                    await execute(AsyncStoreCursor(conn), Statement(WAIT_FOR_STANDBY, ()))
                    return row[1], row[3]
            if len(rows) < page.size:
                return None
            position = rows[-1][page.column] + 1

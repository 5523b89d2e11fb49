"""Writes by the server's functions only, for a role or a database that allows nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from messagedb._operations import write_results
from messagedb._operations.validation import is_version_expected
from messagedb._sql.statements import Statement

from .message_lookup import find_message
from .write_scopes import WriteScope, abandon_scope, execute_all, execute_pipelined, rollback_scope

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from messagedb._operations.dialect import Dialect
    from messagedb._operations.requests import WriteRequest

_MESSAGE_SAVEPOINT = WriteScope(
    (Statement(b"SAVEPOINT _messagedb_message", ()),),
    (Statement(b"RELEASE SAVEPOINT _messagedb_message", ()),),
    (
        Statement(b"ROLLBACK TO SAVEPOINT _messagedb_message", ()),
        Statement(b"RELEASE SAVEPOINT _messagedb_message", ()),
    ),
)


async def write_by_functions(
    conn: AsyncConnection[Any], dialect: Dialect, write: WriteRequest, scope: WriteScope
) -> list[int]:
    """Write a batch by calls of write_message only, each after a separate savepoint.

    For a role that may not insert into the table, and for a database that has only the functions.
    """
    begin = (*scope.enter, Statement(dialect.sql.acquire_lock, (write.stream_name,)))
    query = dialect.build_version_query(write)
    try:
        stream_version, isolation = (await execute_pipelined(conn, begin, query))[0]
        write_results.check_isolation(isolation)
        version: int = stream_version
        positions: list[int] = []
        for index in range(len(write.encoded)):
            location = None
            if is_version_expected(write_results.get_expected_at(write.expected, index), version):
                location = await _call_write_message(conn, dialect, write, index, version)
            else:
                location = await find_message(conn, dialect, write, index)
                if location is None:
                    raise write_results.wrong_version_error(write, index, stream_version)
            position = write_results.get_stored_position(write, write.encoded[index].id, location)
            positions.append(position)
            if write.is_whole and (position <= stream_version) != (positions[0] <= stream_version):
                # Some of its messages were stored before, and others were not.
                raise write_results.wrong_version_error(write, 0, stream_version)
            version = max(version, position)
        await execute_all(conn, scope.leave)
    except BaseException:
        await abandon_scope(conn, scope)
        raise
    return positions


async def _call_write_message(
    conn: AsyncConnection[Any],
    dialect: Dialect,
    write: WriteRequest,
    index: int,
    version: int,
) -> tuple[str, int]:
    call = dialect.build_write_call(write, index, version)
    try:
        rows = await execute_pipelined(conn, _MESSAGE_SAVEPOINT.enter, call)
    except psycopg.Error as error:
        if not write_results.is_conflict(error):
            raise
        await rollback_scope(conn, _MESSAGE_SAVEPOINT)
        location = await find_message(conn, dialect, write, index)
        if location is None:
            raise write_results.unique_violation_error(
                write, error, index, dialect.table_readable
            ) from error
        return location
    await execute_all(conn, _MESSAGE_SAVEPOINT.leave)
    return write.stream_name, rows[0][0]

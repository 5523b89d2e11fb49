"""A batch under the category's lock, by inserts: first without a search for stored ids."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from messagedb._connection.position_sequence import is_position_taken
from messagedb._connection.psycopg_internals import copy_end, current_pipeline
from messagedb._operations import batch_plan, write_results
from messagedb._operations.validation import is_version_expected
from messagedb._sql.statements import Statement, array_literal

from ..connection.connection import AsyncStoreCursor
from ..connection.interruptions import abort_operation, is_interruption
from .write_scopes import abandon_scope, execute_all, execute_pipelined, rollback_scope

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from messagedb._operations.requests import EncodedMessage, WriteRequest
    from messagedb._sql.statements import Statements

    from .write_scopes import WriteScope

# How often a write starts again after losing against a session that did not take the lock.
_MAX_ATTEMPTS = 3


async def insert_batch(
    conn: AsyncConnection[Any], sql: Statements, write: WriteRequest, scope: WriteScope
) -> list[int]:
    """Write all messages of a batch or none, and return their positions.

    A batch whose ids are new and whose version matches, as nearly all are, is inserted without a
    search: in one round trip, or with COPY in four. Any other is rolled back and searched for: two
    more.
    """
    may_copy = current_pipeline(conn) is None
    try:
        version = await _insert_optimistically(conn, sql, write, scope)
    except (psycopg.errors.UniqueViolation, psycopg.errors.FeatureNotSupported) as error:
        # An id is already stored; or the table does not allow COPY, as it has row security.
        await rollback_scope(conn, scope)
        _check_position_free(write, error)
        may_copy = may_copy and isinstance(error, psycopg.errors.UniqueViolation)
        version = None
    except BaseException:
        await abandon_scope(conn, scope)
        raise
    if version is None:
        return await _insert_missing(conn, sql, write, scope, may_copy)
    return list(range(version + 1, version + 1 + len(write.encoded)))


async def _insert_optimistically(
    conn: AsyncConnection[Any], sql: Statements, write: WriteRequest, scope: WriteScope
) -> int | None:
    """Insert, and return the version that the stream had; None if nothing was inserted.

    Raises:
        ValidationError: the transaction's isolation level does not allow writes.
    """
    lock = scope.build_lock(write.stream_name)
    if batch_plan.is_inserted_as_json(write.encoded):
        arrays = batch_plan.build_json_chunks(write.encoded)
        if len(arrays) == 1:
            insert = Statement(sql.insert_batch, (write.stream_name, arrays[0][1], write.expected))
            before, after = ((), ()) if scope.is_autocommit else (scope.enter, scope.leave)
            rows = await execute_pipelined(conn, (*before, lock), insert, after)
            earlier_version, is_written = rows[0]
            return int(earlier_version) if is_written else None
    query = Statement(sql.look_at_stream, (write.stream_name,))
    version: int
    version, isolation = (await execute_pipelined(conn, (*scope.enter, lock), query))[0]
    write_results.check_isolation(isolation)
    if not is_version_expected(write.expected, version):
        await rollback_scope(conn, scope)
        return None
    if current_pipeline(conn) is None:
        await _copy(conn, sql, write.stream_name, write.encoded, version)
        await execute_all(conn, scope.leave)
    else:
        # A pipeline of the caller's does not allow COPY.
        await execute_all(
            conn, (*_build_inserts(sql, write.stream_name, write.encoded, version), *scope.leave)
        )
    return version


async def _copy(
    conn: AsyncConnection[Any],
    sql: Statements,
    stream_name: str,
    messages: list[EncodedMessage],
    version: int,
) -> None:
    """Insert by COPY, and never leave the connection in it.

    A task that is cancelled while psycopg begins a COPY would leave it open.
    """
    interruption: BaseException | None = None
    try:
        async with AsyncStoreCursor(conn).copy(sql.copy_messages) as copy:
            try:
                for block in batch_plan.iter_copy_blocks(stream_name, messages, version):
                    await copy.write(block)
            except BaseException as error:
                if is_interruption(error):
                    interruption = error
                raise
    except BaseException as error:
        if is_interruption(error):
            abort_operation(conn)
        if conn.pgconn.transaction_status == TransactionStatus.ACTIVE:
            with suppress(psycopg.Error):
                await conn.wait(copy_end(conn.pgconn, b"aborted by the client"))
        # At the end of the COPY, psycopg raises its own error over the original one.
        if interruption is None or error is interruption:
            raise
    if interruption is not None:
        raise interruption


async def _insert_missing(
    conn: AsyncConnection[Any],
    sql: Statements,
    write: WriteRequest,
    scope: WriteScope,
    may_copy: bool,
) -> list[int]:
    """Find the stored ids, decide, and insert the others."""
    ids = array_literal(message.id for message in write.encoded)
    before = (*scope.enter, scope.build_lock(write.stream_name))
    query = Statement(sql.find_messages, (write.stream_name, ids))
    conflict: psycopg.Error | None = None
    for _ in range(_MAX_ATTEMPTS):
        try:
            version, stored = write_results.parse_batch_lookup(
                await execute_pipelined(conn, before, query)
            )
            plan = batch_plan.plan_batch(write, version, stored)
            inserts: tuple[Statement, ...] = ()
            if may_copy and batch_plan.has_large_message(plan.to_insert):
                # In an array of messages, the largest one would be too large for the server.
                await _copy(conn, sql, write.stream_name, plan.to_insert, version)
            else:
                inserts = _build_inserts(sql, write.stream_name, plan.to_insert, version)
            await execute_all(conn, (*inserts, *scope.leave))
        except psycopg.errors.UniqueViolation as error:
            # A session that holds another lock, or none, stored one of the ids since the search.
            conflict = error
            await rollback_scope(conn, scope)
            _check_position_free(write, error)
        except BaseException:
            await abandon_scope(conn, scope)
            raise
        else:
            return plan.positions
    assert conflict is not None
    raise write_results.unique_violation_error(write, conflict) from conflict


def _build_inserts(
    sql: Statements, stream_name: str, messages: list[EncodedMessage], version: int
) -> tuple[Statement, ...]:
    statements: list[Statement] = []
    for count, array in batch_plan.build_json_chunks(messages):
        statements.append(Statement(sql.insert_messages, (stream_name, version, array)))
        version += count
    return tuple(statements)


def _check_position_free(write: WriteRequest, error: psycopg.Error) -> None:
    """Do not retry if the sequence is behind its table: a later position may be free."""
    if is_position_taken(error):
        raise write_results.unique_violation_error(write, error) from error

"""Inspection of a connection: its server, its state, and the database's state after an error."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus

from messagedb._connection import server_info
from messagedb._connection.error_mapping import NOTHING_CHANGED, TRANSACTION_ABORTED, map_error
from messagedb._errors import TransactionAbortedError, ValidationError
from messagedb._sql.statements import BEGIN, COMMIT, INSPECT

from .connection import AsyncStoreCursor
from .interruptions import abort_operation, is_interruption
from .position_sequence import load_sequence
from .psycopg_internals import synchronize

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from messagedb._connection.server_info import ServerInfo
    from messagedb._connection.session_config import SessionConfig

log = logging.getLogger("messagedb.client")

# The warnings that this process has logged.
_logged_notes: set[str] = set()


async def inspect_server(conn: AsyncConnection[Any], session_config: SessionConfig) -> ServerInfo:
    """Query the server's properties. Reads catalogs only, and if allowed the last global position.

    On a connection in autocommit mode and outside a transaction it is a transaction with the time
    limit of the client: that of the role may be too short for any query. It has ended afterwards,
    also after an error or a cancellation. After an exception of a signal's handler the connection
    is closed if the server still executes the query.

    Raises:
        MessageDBError: the query failed. Nothing was changed.
    """
    is_own = conn.pgconn.transaction_status == TransactionStatus.IDLE and conn.autocommit
    before = (BEGIN, session_config.build_time_limit()) if is_own else ()
    cursor = AsyncStoreCursor(conn)
    try:
        # One by one: in a pipeline the short limit of the role may end the query.
        for text in before:
            await AsyncStoreCursor(conn).execute(text, prepare=False)
        params = (session_config.settings.schema,)
        await cursor.execute(INSPECT, params, binary=True, prepare=False)
        server = server_info.parse_server_info((await cursor.fetchall())[0])
        await load_sequence(conn, session_config, server)
        if is_own:
            await AsyncStoreCursor(conn).execute(COMMIT, prepare=False)
    except BaseException as error:
        if is_interruption(error):
            abort_operation(conn)
        if is_own:
            await _roll_back(conn)
        if isinstance(error, psycopg.Error):
            raise map_error(error, NOTHING_CHANGED) from error
        raise
    _log_untested_version(server)
    return server


async def _roll_back(conn: AsyncConnection[Any]) -> None:
    """End a transaction, without raising errors of the server over the current error."""
    if conn.pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
        with suppress(psycopg.Error):
            await conn.rollback()


def _log_untested_version(server: ServerInfo) -> None:
    note = server_info.build_untested_note(server)
    if note is not None and note not in _logged_notes:
        _logged_notes.add(note)
        log.warning("%s", note)


async def check_usable(conn: AsyncConnection[Any]) -> None:
    """Finish the caller's queued statements, and check that a connection can take an operation.

    Raises:
        ValidationError: it is in a COPY or a stream(). Nothing was sent.
        IncompatibleServerError: it would change strings in transfer. Nothing was sent.
    """
    server_info.check_client_encoding(conn.pgconn.parameter_status(b"client_encoding"))
    if conn.pgconn.pipeline_status != PipelineStatus.OFF:
        # The state of the transaction is known only after the responses to the caller's queued
        # statements. Their errors are the caller's own, and raised unchanged.
        await synchronize(conn)
    elif conn.pgconn.transaction_status == TransactionStatus.ACTIVE:
        raise ValidationError(
            "the connection is in a COPY or a stream(): end that first. Nothing was sent."
        )


def state_note(conn: AsyncConnection[Any], default_note: str) -> str:
    """Return the database's state after an error of an operation in the caller's transaction."""
    if conn.closed:
        return "The connection is closed: uncommitted changes on it are rolled back."
    if conn.pgconn.transaction_status == TransactionStatus.INERROR:
        return TRANSACTION_ABORTED
    return default_note


def is_read_only_by_choice(conn: AsyncConnection[Any]) -> bool:
    """Return True if a transaction is read-only by choice, on a server that accepts writes.

    The server reports each change of the default for new transactions; some poolers do not.
    """
    settings = conn.pgconn.parameter_status
    return conn.read_only is True or (
        settings(b"default_transaction_read_only") == b"off"
        and settings(b"in_hot_standby") == b"off"
    )


def transaction_aborted_error() -> TransactionAbortedError:
    """Return the error for an operation in a transaction that has already failed."""
    return TransactionAbortedError(
        "the transaction on this connection has failed before. Nothing was sent. Roll it back "
        "(to a savepoint, or all of it) and run it again."
    )

"""Inspection of a connection: its server, its state, and the database's state after an error."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus

from messagedb._connection import server_info
from messagedb._connection.error_mapping import NOTHING_CHANGED, TRANSACTION_ABORTED, map_error
from messagedb._errors import TransactionAbortedError, ValidationError
from messagedb._sql.statements import BEGIN, COMMIT, INSPECT, Statement

from .connection import AsyncStoreCursor
from .position_sequence import load_sequence

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from messagedb._connection.server_info import ServerInfo
    from messagedb._connection.session_config import SessionConfig

log = logging.getLogger("messagedb.client")

# The warnings that this process has logged.
_logged_notes: set[str] = set()


async def inspect_server(conn: AsyncConnection[Any], session_config: SessionConfig) -> ServerInfo:
    """Query the server's properties. Reads catalogs only, and if allowed the last global position.

    Raises:
        MessageDBError: the query failed.
    """
    statement = Statement(INSPECT, (session_config.settings.schema,))
    is_own = conn.pgconn.transaction_status == TransactionStatus.IDLE and conn.autocommit
    try:
        if is_own:
            # With the time limit of the client: that of the role may be too short for any query.
            # One by one: a pipeline of the caller's refuses two in one statement.
            limit = session_config.build_time_limit()
            await AsyncStoreCursor(conn).execute(BEGIN, prepare=False)
            await AsyncStoreCursor(conn).execute(limit, prepare=False)
        text, params = statement
        cursor = AsyncStoreCursor(conn)
        await cursor.execute(text, params, binary=True, prepare=False)
        server = server_info.parse_server_info((await cursor.fetchall())[0])
        await load_sequence(conn, session_config, server)
        if is_own:
            await AsyncStoreCursor(conn).execute(COMMIT, prepare=False)
    except psycopg.Error as error:
        if is_own and not conn.closed:
            await conn.rollback()
        raise map_error(error, NOTHING_CHANGED) from error
    _log_untested_version(server)
    return server


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
        async with conn.pipeline() as pipeline:
            await pipeline.sync()
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

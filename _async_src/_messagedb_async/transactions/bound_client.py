"""Operations on a connection of the caller, in the caller's transaction."""

from __future__ import annotations

import os
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus

from messagedb._concurrency.backend_async import sleep
from messagedb._connection import server_info
from messagedb._connection.error_mapping import (
    NOTHING_CHANGED,
    NOTHING_WRITTEN,
    get_first_line,
    is_caused_by_others,
    is_connection_lost,
    map_error,
)
from messagedb._connection.history import UNKNOWN_HISTORY, parse_history
from messagedb._connection.psycopg_internals import current_pipeline
from messagedb._connection.server_info import ServerInfo, check_not_proxied
from messagedb._connection.session_config import SessionConfig
from messagedb._connection.settings import has_time_left
from messagedb._errors import MessageDBError, StoreUnavailableError
from messagedb._operations import requests
from messagedb._operations.dialect import Dialect
from messagedb._operations.requests import ReadRequest, WriteRequest
from messagedb._sql.statements import HISTORY_AND_PID, Statement
from messagedb._transactions import options as transactions
from messagedb._transactions.options import begun_before_fork_error
from messagedb._transactions.retry import pause
from messagedb.errors import OutcomeUnknownError

from ..connection.inspection import (
    check_usable,
    inspect_server,
    is_read_only_by_choice,
    state_note,
    transaction_aborted_error,
)
from ..connection.interruptions import abort_operation, is_interruption
from ..execution.executors import AsyncExecutor, AsyncTransactionPerCallExecutor
from ..execution.joined_executor import AsyncJoinedExecutor
from ..operations.operations import AsyncOperations


class AsyncBoundClient(AsyncOperations):
    """The operations of a client on one psycopg connection of the caller, or in a session's.

    In a transaction, or on a connection that is not in autocommit mode, they are part of that
    transaction: their writes are stored when it commits, and the locks of the written categories
    are held until it ends. Neither a message that is already stored nor a version conflict aborts
    it. On a connection in autocommit mode and outside a transaction each operation is a separate
    transaction.

    No setting of the connection lasts beyond an operation, and the client's ``command_timeout``
    does not limit it in the caller's transaction. Row factories, cursor factories and adapters of
    the connection are not used. Use it from one task at a time, like the connection.

    Besides their documented errors, they raise ``TransactionAbortedError`` in a transaction that
    has already failed: nothing was sent, and the transaction must be rolled back. Writes in
    REPEATABLE READ or SERIALIZABLE are refused with ``ValidationError``. In a pipeline of the
    caller, an error of the caller's queued statements is raised unchanged. An exception of a
    signal's handler in the middle of an operation is raised unchanged, and the connection is closed
    if the server is still executing the operation: that may still be done.

    Example::

        async with client.transaction() as tx:
            bound = client.bind(tx.connection)
            await bound.write_message("account-1", Deposited(5))
    """

    def __init__(
        self,
        session_config: SessionConfig,
        known: dict[tuple[Any, ...], ServerInfo],
        conn: AsyncConnection[Any] | None,
    ) -> None:
        self._session_config = session_config
        self._server_info_cache = known
        self._process = os.getpid()
        if conn is not None:
            self._use_connection(conn)

    def _use_connection(self, conn: AsyncConnection[Any]) -> None:
        """Send operations on this connection, of which nothing is known yet."""
        self._conn = conn
        self._server: ServerInfo | None = None
        self._history_number: int | None = None
        self._joined: AsyncJoinedExecutor | None = None
        self._per_call: AsyncTransactionPerCallExecutor | None = None

    def __repr__(self) -> str:
        """Return the connection's description."""
        return f"<{type(self).__name__} on {self._conn!r}>"

    @property
    def connection(self) -> AsyncConnection[Any]:
        """The caller's connection; of a session of SQLAlchemy that of the last operation.

        Example::

            async with client.transaction() as tx:
                bound = client.bind(tx.connection)
                print(bound.connection.info.transaction_status)
        """
        return self._conn

    @property
    def _has_snapshot(self) -> bool:
        return transactions.has_snapshot(self._conn.isolation_level)

    async def _read(self, read: ReadRequest) -> list[tuple[Any, ...]]:
        deadline, rollbacks = self._session_config.compute_deadline(), 0
        while True:
            executor = await self._choose_executor()
            try:
                return await executor.read(read)
            except psycopg.Error as error:
                if not self._may_repeat(executor, error, deadline):
                    note = state_note(self._conn, NOTHING_CHANGED)
                    raise map_error(error, note, has_condition=read.has_condition) from error
            except BaseException as error:
                self._close_if_interrupted(error)
                raise
            rollbacks += 1
            await sleep(pause(rollbacks))

    async def _read_in_history(
        self, *reads: ReadRequest
    ) -> tuple[list[list[tuple[Any, ...]]], int]:
        results = [await self._read(read) for read in reads]
        if self._history_number is not None:
            return results, self._history_number
        history = UNKNOWN_HISTORY
        is_direct = True
        if (await self._inspect()).history_readable:
            question = Statement(HISTORY_AND_PID, ())
            *parts, pid = (await self._read(requests.ReadRequest(question, question)))[0]
            history = parse_history(tuple(parts))
            is_direct = pid == self._conn.pgconn.backend_pid
        number = self._session_config.get_history_number(history)
        if is_direct:
            # Without a pooler in between a connection is one server, from its start to its end.
            self._history_number = number
        return results, number

    async def _write(self, write: WriteRequest) -> list[int]:
        deadline, rollbacks = self._session_config.compute_deadline(), 0
        while True:
            executor = await self._choose_executor(write)
            try:
                return await executor.write(write)
            except psycopg.Error as error:
                is_answer_lost = is_connection_lost(error, self._conn.closed)
                if is_answer_lost or not self._may_repeat(executor, error, deadline):
                    raise self._write_error(write, error, executor) from error
            except BaseException as error:
                self._close_if_interrupted(error)
                raise
            rollbacks += 1
            await sleep(pause(rollbacks))

    def _write_error(
        self, write: WriteRequest, error: psycopg.Error, executor: AsyncExecutor
    ) -> MessageDBError:
        """Return our error for psycopg's of a write."""
        conn = self._conn
        if executor is self._per_call and is_connection_lost(error, conn.closed):
            return OutcomeUnknownError(
                write.stream_name, write.messages, write.expected_version, get_first_line(error)
            )
        is_by_choice = executor is self._joined and is_read_only_by_choice(conn)
        note = state_note(conn, NOTHING_WRITTEN)
        return map_error(error, note, is_read_only_by_choice=is_by_choice, is_write=True)

    def _close_if_interrupted(self, error: BaseException) -> None:
        """Close the connection if an exception that came into an operation left it of no use.

        In a pipeline of the caller's it is the caller's to end that.
        """
        if is_interruption(error) and current_pipeline(self._conn) is None:
            abort_operation(self._conn)

    def _may_repeat(self, executor: AsyncExecutor, error: psycopg.Error, deadline: float) -> bool:
        """True if only the operation was rolled back, because of other sessions."""
        return (
            executor is self._per_call
            and not self._conn.closed
            and is_caused_by_others(error)
            and has_time_left(deadline)
        )

    async def _write_with_queue(self, write: WriteRequest) -> AsyncExecutor | None:
        """Send a write with the statements that the caller has queued; None if it is not sent."""
        conn = self._conn
        if current_pipeline(conn) is None or conn.closed or os.getpid() != self._process:
            return None
        server = self._server or self._server_info_cache.get(_build_key(conn))
        if server is None or server.is_proxied:
            return None
        if self._joined is None:
            self._joined = AsyncJoinedExecutor(Dialect(self._session_config, server), conn)
        return self._joined if await self._joined.write_with_queue(write) else None

    async def _choose_executor(self, write: WriteRequest | None = None) -> AsyncExecutor:
        if write is not None and (executor := await self._write_with_queue(write)) is not None:
            return executor
        conn = self._conn
        server = await self._inspect()
        status = conn.pgconn.transaction_status
        if status == TransactionStatus.INERROR:
            raise transaction_aborted_error()
        if status == TransactionStatus.IDLE:
            if conn.autocommit:
                if self._per_call is None:
                    self._per_call = AsyncTransactionPerCallExecutor(
                        Dialect(self._session_config, server), conn
                    )
                return self._per_call
            if self._joined is not None:
                self._joined.forget_locks()
        check_not_proxied(server, "operations in a transaction")
        if self._joined is None:
            self._joined = AsyncJoinedExecutor(Dialect(self._session_config, server), conn)
        return self._joined

    async def _get_server(self) -> ServerInfo:
        return await self._inspect()

    async def _inspect(self) -> ServerInfo:
        conn = self._conn
        if os.getpid() != self._process:
            raise begun_before_fork_error()
        if conn.closed:
            raise StoreUnavailableError(
                "the bound connection is closed: open another, and bind() that. Nothing was sent."
            )
        await check_usable(conn)
        if self._server is None:
            if conn.pgconn.transaction_status == TransactionStatus.INERROR:
                raise transaction_aborted_error()
            key = _build_key(conn)
            server = self._server_info_cache.get(key)
            if server is None:
                server = await inspect_server(conn, self._session_config)
                server_info.check_server(server, self._session_config.settings.schema)
                self._server_info_cache[key] = server
            self._server = server
        return self._server


def _build_key(conn: AsyncConnection[Any]) -> tuple[Any, ...]:
    """Return the key of a connection's server and role."""
    pgconn = conn.pgconn
    return pgconn.host, pgconn.port, pgconn.db, pgconn.user

"""State of a transaction on its connection: begin, statements, and end."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus

from messagedb._connection.deadline_watchdog import DeadlineWatch, build_cancel
from messagedb._connection.error_mapping import (
    NOTHING_CHANGED,
    NOTHING_WRITTEN,
    TRANSACTION_ABORTED,
    get_first_line,
    is_connection_lost,
    map_error,
)
from messagedb._connection.history import UNKNOWN_HISTORY, parse_history
from messagedb._connection.psycopg_internals import current_pipeline
from messagedb._connection.settings import RESPONSE_GRACE_SECONDS
from messagedb._errors import TransactionAbortedError, ValidationError
from messagedb._operations import write_results
from messagedb._sql.statements import (
    COMMIT,
    NEW_TRANSACTION_ID,
    ROLLBACK,
    TRANSACTION_ID,
    Statement,
)
from messagedb._transactions import options as transactions
from messagedb._transactions.commit_proof import CommitProof
from messagedb._transactions.options import COMMITTED, ROLLED_BACK, UNKNOWN
from messagedb.errors import OutcomeUnknownError
from messagedb.streams import category

from ..connection.connection import (
    AsyncStoreConnection,
    AsyncStoreCursor,
    commit,
    execute,
)
from ..connection.inspection import check_usable, is_read_only_by_choice, state_note
from ..connection.interruptions import is_interruption
from ..execution.write_scopes import execute_all
from .commit_status import query_commit_status

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from messagedb._concurrency.callables import AsyncThunk
    from messagedb._errors import MessageDBError
    from messagedb._operations.category_locks import CategoryLock
    from messagedb._operations.requests import WriteRequest
    from messagedb._transactions.options import TransactionOptions

    from ..execution.connection_providers import AsyncConnectionProvider
    from ..execution.joined_executor import AsyncJoinedExecutor


class AsyncLastStatement(NamedTuple):
    """A statement that is sent in one message with the COMMIT.

    So a process that is paused or cut off between them cannot hold its locks. If it fails, the
    server does not execute the COMMIT.

    Attributes:
        text: the statement, without parameters.
        refusal: the SQLSTATE of the error with which it refuses the COMMIT.
        find_error: returns the error to raise for that, when the transaction is rolled back and its
            connection released.
    """

    text: bytes
    refusal: str
    find_error: AsyncThunk[MessageDBError]


class AsyncTransactionState:
    """State of one transaction: connection, deadline and outcome.

    Attributes:
        provider: the pool of the connection.
        executor: runs its reads and writes.
        conn: the connection.
        options: the options of the transaction.
        is_connection_exposed: True if the user got the connection, and may have changed settings.
        outcome: the outcome of the transaction, as in error texts; None while it is active.
        written_counts: by category, the number of messages that it tried to write.
        write_refusal: the reason why nothing may be written now; None for no such reason.
        last_statement: a statement to send with the COMMIT; None for none.
    """

    def __init__(
        self,
        provider: AsyncConnectionProvider,
        executor: AsyncJoinedExecutor,
        options: TransactionOptions,
    ) -> None:
        conn: AsyncConnection[Any] = executor.connection
        self.provider = provider
        self.executor = executor
        self.conn = conn
        self.options = options
        self.is_connection_exposed = False
        self.outcome: str | None = None
        self.written_counts: Counter[str] = Counter()
        self.write_refusal: str | None = None
        self.last_statement: AsyncLastStatement | None = None
        self._is_released = False
        self._process = os.getpid()
        self._history = UNKNOWN_HISTORY
        self._watch = DeadlineWatch(monotonic() + options.timeout)
        self._deadline = self._watch.deadline + RESPONSE_GRACE_SECONDS
        if isinstance(conn, AsyncStoreConnection):
            conn.is_in_transaction = True

    @property
    def is_in_child_process(self) -> bool:
        """True in another process than the one that began it and owns the connection."""
        return os.getpid() != self._process

    @property
    def is_active(self) -> bool:
        """True if it can be used: it is active here, has time left, and no statement has failed."""
        return (
            self.outcome is None
            and not self.is_in_child_process
            and not self._watch.has_expired
            and self.conn.pgconn.transaction_status
            in (TransactionStatus.INTRANS, TransactionStatus.ACTIVE)
        )

    @property
    def history_number(self) -> int:
        """The client's number of the history of its server."""
        conn, session_config = self.conn, self.provider.session_config
        if session_config.session_settings and isinstance(conn, AsyncStoreConnection):
            return conn.history_number
        return session_config.get_history_number(self._history)

    async def begin(self) -> None:
        """Send the BEGIN, and acquire the configured locks: one round trip.

        Raises:
            psycopg.Error: it failed. The connection was released.
            OSError: no descriptor was left to watch it with. The connection was released.
        """
        provider, locks, pgconn = self.provider, self.options.locks, self.conn.pgconn
        session_config, conn = provider.session_config, self.conn
        # A connection of ours knows its server's history; behind a pooler this may change any time.
        asks_history = session_config.has_readable_history
        if session_config.session_settings and isinstance(conn, AsyncStoreConnection):
            self._history, asks_history = conn.history, False
        text = transactions.build_begin(
            self.options,
            session_config.settings,
            provider.dialect.server.version,
            asks_history=asks_history,
        )
        cursor = AsyncStoreCursor(conn)
        self._set_operation_deadline()
        try:
            self._watch.start(pgconn.socket, build_cancel(pgconn))
            await cursor.execute(text, prepare=False)
            if asks_history or locks:
                rows: list[tuple[Any, ...]] = []
                while cursor.nextset():
                    if cursor.description:
                        rows += await cursor.fetchall()
                if asks_history:
                    self._history = parse_history(rows[0])
                if locks:
                    self.executor.record_locks(locks, int(rows[-1][1]))
        except BaseException:
            await self.roll_back()
            raise
        self.end_operation()

    def check_active(self) -> None:
        """Raise if the transaction is not active any more.

        Raises:
            TransactionTimeoutError: its timeout has expired. It is rolled back.
            StoreUnavailableError: its connection is closed. It is rolled back.
            ValidationError: it has ended, or is the parent process's. Nothing was sent.
        """
        if self.is_in_child_process:
            raise transactions.begun_before_fork_error()
        if self._watch.has_expired and self.outcome not in (COMMITTED, UNKNOWN):
            raise self.timeout_error()
        if self.outcome is not None:
            raise transactions.transaction_ended_error(self.outcome)
        if self.conn.closed:
            # The server's limit may come a moment before the watch.
            if self.is_out_of_time():
                raise self.timeout_error()
            raise transactions.connection_lost_error("it is closed")

    async def prepare_statement(self, write: WriteRequest | None = None) -> None:
        """Check that the transaction can execute a statement, and limit the statement's time.

        Args:
            write: a write that may be sent with statements that the caller has queued.

        Raises:
            TransactionAbortedError: a statement has failed before. Nothing was sent.
            MessageDBError: it is not active any more, as in `check_active`.
        """
        self.check_active()
        conn = self.conn
        if current_pipeline(conn) is not None and write is not None and self.options.is_writable:
            self._set_operation_deadline()
            try:
                is_sent = await self.executor.write_with_queue(write)
            finally:
                self.end_operation()
            if is_sent:
                return
        await check_usable(conn)
        status = conn.pgconn.transaction_status
        if status == TransactionStatus.INERROR:
            if self.is_out_of_time():
                # The limit on the server's side came first, and its error was swallowed.
                raise self.timeout_error()
            raise TransactionAbortedError(transactions.ALREADY_FAILED_TEXT)
        if status == TransactionStatus.IDLE:
            self.outcome = "ended by a statement on its connection"
            await self._release()
            raise transactions.transaction_ended_error(self.outcome)
        self._set_operation_deadline()

    def _set_operation_deadline(self) -> None:
        """Limit the next statements to the time of a command, at most the transaction's time."""
        self.executor.set_deadline(
            min(self.provider.session_config.compute_deadline(), self._deadline)
        )

    def end_operation(self) -> None:
        """Limit the user's statements on the connection to the rest of the transaction's time."""
        self.executor.set_deadline(self._deadline)

    def close_if_interrupted(self, error: BaseException) -> None:
        """Roll back, by closing the connection, after an exception that interrupted an operation.

        The code that catches it does not know which part of the operation was done.
        """
        if is_interruption(error) and not self.is_in_child_process:
            self.conn.pgconn.finish()

    def count_write(self, write: WriteRequest) -> None:
        """Count a write that is to be sent.

        Raises:
            ValidationError: nothing may be written now. Nothing was sent.
        """
        if self.write_refusal is not None:
            raise ValidationError(f"{self.write_refusal}. Nothing was sent.")
        self.written_counts[category(write.stream_name)] += len(write.encoded)

    async def acquire_locks(self, locks: tuple[CategoryLock, ...]) -> None:
        """Acquire the locks of categories, which the transaction then holds to its end.

        Raises:
            MessageDBError: as an operation of the transaction raises it.
        """
        await self.prepare_statement()
        try:
            await self.executor.acquire_locks(locks)
        except psycopg.Error as error:
            raise self.map_error(error, NOTHING_WRITTEN) from error
        finally:
            self.end_operation()

    async def execute_command(self, text: str) -> None:
        """Execute a command of the transaction itself, as for a savepoint."""
        self._set_operation_deadline()
        try:
            await AsyncStoreCursor(self.conn).execute(text.encode(), prepare=False)
        except psycopg.Error as error:
            raise self.map_error(error, "") from error
        finally:
            self.end_operation()

    async def rollback_to(self, savepoint: str, written_count: int) -> None:
        """Roll back to a savepoint and leave it, if the transaction is still active.

        Args:
            savepoint: its name.
            written_count: the number of messages that the transaction had written when it began.
        """
        self.executor.forget_locks()
        if self.is_in_child_process:
            return
        del self.executor.written[written_count:]
        if self.outcome is None and not self._watch.has_expired and not self.conn.closed:
            self._set_operation_deadline()
            # An error means that the connection is lost: the transaction's end will raise it, too.
            with suppress(psycopg.Error):
                # One by one: a pipeline of the user refuses two in one statement.
                for text in (
                    f"ROLLBACK TO SAVEPOINT {savepoint}",
                    f"RELEASE SAVEPOINT {savepoint}",
                ):
                    await execute_all(self.conn, (Statement(text.encode(), ()),))
            self.end_operation()

    async def commit(self) -> None:
        """Commit, and release the connection; roll back if it cannot be committed."""
        try:
            await self.prepare_statement()
            if self.conn.pgconn.pipeline_status != PipelineStatus.OFF:
                raise transactions.commit_in_pipeline_error()
            await self._send_commit()
        finally:
            await self.roll_back()

    async def roll_back(self) -> None:
        """Roll back unless it has ended, and release the connection.

        It raises no server errors: a connection that fails here is closed, which is a rollback,
        too.
        """
        if self.is_in_child_process:
            return
        try:
            if self.outcome is None:
                self.outcome = ROLLED_BACK
                self._set_operation_deadline()
                if not self._watch.has_expired and not self.conn.closed:
                    with suppress(psycopg.Error):
                        await AsyncStoreCursor(self.conn).execute(ROLLBACK, prepare=False)
        finally:
            await self._release()

    def is_out_of_time(self, error: psycopg.Error | None = None) -> bool:
        """Return True if the timeout has expired, or had when this error was raised."""
        if self.outcome in (COMMITTED, UNKNOWN):
            return False
        return (
            self._watch.has_expired
            or (error is not None and error.sqlstate in transactions.TIMEOUT_SQLSTATES)
            or (
                # The server's limit may come a moment before the watch.
                (error is not None or self.outcome is None) and monotonic() >= self._watch.deadline
            )
        )

    def timeout_error(self, error: psycopg.Error | None = None) -> MessageDBError:
        """Return the error for an expired timeout, which may be caused by this error."""
        state = None if error is None else error.sqlstate
        if error is None or state not in transactions.TIMEOUT_SQLSTATES:
            return transactions.transaction_timeout_error(self.options.timeout)
        if monotonic() < self._watch.deadline - RESPONSE_GRACE_SECONDS:
            return transactions.ended_early_error(get_first_line(error), state)
        return transactions.transaction_timeout_error(self.options.timeout, is_confirmed=True)

    def map_error(
        self,
        error: psycopg.Error,
        default_note: str,
        *,
        has_condition: bool = False,
        is_write: bool = False,
    ) -> MessageDBError:
        """Convert psycopg's error to ours, with the outcome of the transaction."""
        if self.is_out_of_time(error):
            return self.timeout_error(error)
        if is_connection_lost(error, self.conn.closed):
            return transactions.connection_lost_error(get_first_line(error))
        # Behind a pooler the server may not be the one that reported the facts.
        is_by_choice = self.provider.session_config.session_settings and is_read_only_by_choice(
            self.conn
        )
        if not is_by_choice:
            self.executor.note_refusal(error)
        # The caller of a list has begun no transaction to roll back.
        is_own_read = self.options.is_local and self.options.read_only
        return map_error(
            error,
            NOTHING_CHANGED if is_own_read else state_note(self.conn, default_note),
            has_condition=has_condition,
            is_read_only_by_choice=is_by_choice,
            is_write=is_write,
        )

    def write_error(self, write: WriteRequest, error: psycopg.Error) -> MessageDBError:
        """Convert psycopg's error of a write to ours, with the outcome of all writes."""
        if error.sqlstate == "57014" and not self.is_out_of_time(error):
            timeout = self.provider.session_config.settings.command_timeout
            return write_results.refused_write_error(write, error, timeout, TRANSACTION_ABORTED)
        return self.map_error(error, NOTHING_WRITTEN, is_write=True)

    async def _send_commit(self) -> None:
        """Send the COMMIT: from here on the time of a command limits the wait, and ends nothing."""
        conn, last = self.conn, self.last_statement
        proof = await self._build_proof()
        self._watch.stop()
        if self._watch.has_expired:
            raise self.timeout_error()
        self.outcome = UNKNOWN
        try:
            # The server gives nothing up by itself, whose word would be waited for.
            command_tag = await commit(
                conn,
                self.provider.session_config.compute_deadline() - RESPONSE_GRACE_SECONDS,
                COMMIT if last is None else b"%b; %b" % (last.text, COMMIT),
            )
        except psycopg.Error as error:
            if is_connection_lost(error, conn.closed):
                await self._resolve_lost_commit(error, proof)
                return
            # Before the COMMIT it has failed, and is to be rolled back.
            has_failed = conn.pgconn.transaction_status == TransactionStatus.INERROR
            self.outcome = None if has_failed else ROLLED_BACK
            mapped = self.map_error(error, "The transaction is rolled back.")
            if last is not None and error.sqlstate == last.refusal:
                await self.roll_back()
                mapped = await last.find_error()
            raise mapped from error
        self.outcome = COMMITTED
        if command_tag != "COMMIT":
            self.outcome = ROLLED_BACK
            raise TransactionAbortedError(transactions.ALREADY_FAILED_TEXT)

    async def _build_proof(self) -> CommitProof | None:
        """Query the facts that identify the transaction; None if it has changed nothing.

        This is done before the COMMIT, whose response may be lost.
        """
        conn, executor = self.conn, self.executor
        if self.options.read_only:
            return None
        if executor.transaction_id is None or (executor.message_id and executor.xmin is None):
            sql, id = self.provider.session_config.sql, executor.message_id
            # A last statement changes something in any case.
            text = TRANSACTION_ID if self.last_statement is None else NEW_TRANSACTION_ID
            query = Statement(text, ())
            if id is not None and self.provider.dialect.table_readable:
                query = Statement(sql.transaction_of_message, (id,))
            try:
                rows = await execute(AsyncStoreCursor(conn), query)
            except psycopg.Error as error:
                raise self.map_error(error, "The transaction is rolled back.") from error
            executor.transaction_id, executor.xmin = rows[0]
        if executor.transaction_id is None:
            return None
        pid = conn.pgconn.backend_pid if self.provider.session_config.session_settings else 0
        return CommitProof(
            executor.transaction_id, self._history, pid, executor.message_id, executor.xmin
        )

    async def _resolve_lost_commit(self, error: psycopg.Error, proof: CommitProof | None) -> None:
        """Query the outcome of the transaction, because the response to its COMMIT was lost."""
        is_late = error.sqlstate in transactions.TIMEOUT_SQLSTATES
        # First, because the pool may have no other connection.
        await self._release()
        reason = get_first_line(error)
        # A transaction without an id has changed nothing, so nothing can have been committed.
        status = ROLLED_BACK if proof is None else await query_commit_status(self.provider, proof)
        self.outcome = status
        if status == UNKNOWN:
            assert proof is not None
            raise OutcomeUnknownError(
                None, (), None, reason, proof.transaction_id, tuple(self.executor.written)
            ) from error
        if status == ROLLED_BACK:
            if is_late:
                raise self.timeout_error(error) from error
            raise transactions.connection_lost_error(reason) from error

    async def _release(self) -> None:
        if self._is_released:
            return
        self._is_released = True
        self._watch.stop()
        conn = self.conn
        if isinstance(conn, AsyncStoreConnection):
            conn.is_in_transaction = False
        if self._is_commit_unanswered():
            self.provider.waiting.add(conn)
            return
        try:
            if self._watch.has_expired:
                await conn.close()
            elif self.is_connection_exposed:
                self._set_operation_deadline()
                await self.provider.reset_session(self.executor)
        finally:
            await self.provider.release(self.executor)

    def _is_commit_unanswered(self) -> bool:
        """Return True if the server may still be executing the COMMIT, which nothing ends."""
        conn = self.conn
        return (
            self.outcome == UNKNOWN
            and not conn.closed
            and conn.pgconn.transaction_status == TransactionStatus.ACTIVE
        )

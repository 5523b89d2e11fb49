"""Execution of operations in an open transaction: the caller's, or one of a client's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from messagedb._connection.psycopg_internals import current_pipeline, is_synchronized
from messagedb._connection.queued_statements import QueuedStatements
from messagedb._connection.server_info import check_not_proxied
from messagedb._operations import write_results
from messagedb._operations.category_locks import get_category_lock
from messagedb._sql.statements import (
    RELEASE_SAVEPOINT,
    ROLLBACK_TO_SAVEPOINT,
    SAVEPOINT,
    SEARCH_PATH,
    SET_SEARCH_PATH,
    Statement,
)

from ..connection.connection import AsyncStoreCursor, execute
from ..connection.psycopg_internals import execute_in_one_round_trip, synchronize
from .direct_writes import insert_batch
from .executors import AsyncExecutor
from .function_writes import write_by_functions
from .write_scopes import WriteScope, execute_all, execute_pipelined

if TYPE_CHECKING:
    from psycopg.rows import TupleRow

    from messagedb._operations.category_locks import CategoryLock
    from messagedb._operations.dialect import Dialect
    from messagedb._operations.requests import ReadRequest, WriteRequest

_SAVEPOINT = Statement(SAVEPOINT, ())
_RELEASE_SAVEPOINT = Statement(RELEASE_SAVEPOINT, ())
_ROLLBACK_TO_SAVEPOINT = (Statement(ROLLBACK_TO_SAVEPOINT, ()), _RELEASE_SAVEPOINT)
_DIRECT_SCOPE = WriteScope(
    (_SAVEPOINT,), (_RELEASE_SAVEPOINT,), _ROLLBACK_TO_SAVEPOINT, records_lock=True
)

# The largest number of messages that are named if the outcome of a transaction is unknown.
_MAX_NAMED_MESSAGES = 1000


class AsyncJoinedExecutor(AsyncExecutor):
    """Executor in an open transaction: settings are restored, and no outcome of a write aborts it.

    Attributes:
        transaction_id: PostgreSQL's id of the transaction, once a single message was written.
        message_id: the id of a message that was written and not rolled back, None for none.
        xmin: the transaction of this message's row, as far as is known: this one, or that
            of a savepoint.
        written: stream and id of the messages that were written, the first thousand.
    """

    transaction_id: int | None = None
    message_id: str | None = None
    xmin: int | None = None

    def __init__(self, dialect: Dialect, connection: Any) -> None:
        super().__init__(dialect, connection)
        # Kept, because creating one costs as much as a tenth of a write.
        self._write_cursor = AsyncStoreCursor(connection)
        self._search_path = Statement(SET_SEARCH_PATH, (dialect.session_config.search_path,))
        # The locks that the transaction probably holds. The server is asked each time.
        self._held_locks: set[int] = set()
        self.written: list[tuple[str, str]] = []
        # A write that was sent before its turn, with statements of the caller.
        self._queued: QueuedStatements | None = None

    def record_locks(self, locks: tuple[CategoryLock, ...], transaction_id: int) -> None:
        """Record the locks that the transaction has acquired and recorded at its beginning."""
        self._held_locks.update(lock.key for lock in locks)
        self.transaction_id = transaction_id

    async def acquire_locks(self, locks: tuple[CategoryLock, ...]) -> None:
        """Acquire the locks of categories that the transaction does not hold yet, in this order."""
        missing = [lock for lock in locks if lock.key not in self._held_locks]
        if missing:
            statements = tuple(lock.build_recording_statement() for lock in missing)
            await execute_all(self.connection, statements)
            self._held_locks.update(lock.key for lock in missing)

    def forget_locks(self) -> None:
        """Record that the transaction has ended, or a part of it was rolled back."""
        self._held_locks.clear()
        self.message_id = self.xmin = None

    async def read(self, read: ReadRequest) -> list[TupleRow]:
        """Return the rows of a read: of the table, which needs no setting, or of the functions."""
        conn, dialect = self.connection, self.dialect
        if dialect.table_readable and not read.has_condition:
            return await execute(AsyncStoreCursor(conn), read.query)
        statement = dialect.build_read_without_settings(read)
        before = await execute(AsyncStoreCursor(conn), Statement(SEARCH_PATH, ()))
        rows = await execute_pipelined(conn, (self._search_path,), statement)
        await execute_all(conn, (_restore_search_path(before),))
        return rows

    async def write(self, write: WriteRequest) -> list[int]:
        """Write all messages of a write or none, and return their positions.

        Raises:
            IncompatibleServerError: the functions are proxied: each call would be committed before
                the transaction is. Nothing was sent.
        """
        if self.dialect.is_proxied:
            check_not_proxied(self.dialect.server, "messages that are written in a transaction")
        return await super().write(write)

    async def write_with_queue(self, write: WriteRequest) -> bool:
        """Send one message in the round trip of the statements that the caller has queued.

        A savepoint is set first: without a transaction, or in one that has failed, the server
        refuses it, and skips the message.

        Returns:
            True if `write` is to be called for its result; False if nothing of it was executed.

        Raises:
            psycopg.Error: a queued statement failed. The message was not written.
        """
        conn, dialect = self.connection, self.dialect
        if current_pipeline(conn) is None or is_synchronized(conn) or not dialect.inserts_directly:
            return False
        if conn.pgconn.parameter_status(b"client_encoding") != b"UTF8":
            return False
        if len(write.encoded) > 1 or write.encoded[0].is_large or dialect.sequence.is_suspected:
            return False
        lock = get_category_lock(write.stream_name)
        acquire = () if lock.key in self._held_locks else (lock.build_recording_statement(),)
        statements = (_SAVEPOINT, _RELEASE_SAVEPOINT, *acquire, self._build_insert(write, lock))
        queued = QueuedStatements(self._write_cursor, statements)
        await synchronize(conn)
        if queued.has_begun:
            self._queued = queued
        return queued.has_begun

    async def _write(self, write: WriteRequest) -> list[int]:
        """Write under the category's lock, which the transaction then holds to its end."""
        if not self.dialect.inserts_directly:
            return await self._write_by_functions(write)
        # The one statement has no savepoint: if the server refuses it, the transaction is aborted.
        if len(write.encoded) == 1 and not write.encoded[0].is_large:
            return await self._write_one(write)
        positions = await insert_batch(self.connection, self.dialect.sql, write, _DIRECT_SCOPE)
        self._held_locks.add(get_category_lock(write.stream_name).key)
        self._record_written(write, None)
        return positions

    async def _write_by_functions(self, write: WriteRequest) -> list[int]:
        conn = self.connection
        before = await execute(AsyncStoreCursor(conn), Statement(SEARCH_PATH, ()))
        scope = WriteScope(
            (_SAVEPOINT, self._search_path),
            (_restore_search_path(before), _RELEASE_SAVEPOINT),
            _ROLLBACK_TO_SAVEPOINT,
        )
        positions = await write_by_functions(conn, self.dialect, write, scope)
        self._record_written(write, None)
        return positions

    async def _write_one(self, write: WriteRequest) -> list[int]:
        """Write one message: in one statement, and after the lock if that is not held yet."""
        conn, sql, stream_name = self.connection, self.dialect.sql, write.stream_name
        lock = get_category_lock(stream_name)
        insert = self._build_insert(write, lock)
        queued, self._queued = self._queued, None
        rows: list[TupleRow] = []
        if queued is not None:
            rows = queued.get_rows()
            self._held_locks.add(lock.key)
        elif lock.key in self._held_locks:
            rows = await execute(self._write_cursor, insert)
        if not rows:
            acquire = lock.build_recording_statement()
            if current_pipeline(conn) is None:
                rows = await execute_in_one_round_trip(self._write_cursor, acquire, insert)
            else:
                rows = await execute_pipelined(conn, (acquire,), insert)
            self._held_locks.add(lock.key)
        if rows:
            position, self.transaction_id, xmin = rows[0]
            self._record_written(write, xmin)
            return [position]
        query = Statement(sql.look_at_write, (write.encoded[0].id, stream_name))
        position = write_results.check_skipped_insert(
            write, (await execute(self._write_cursor, query))[0]
        )
        if position is not None:
            return [position]
        # It conflicts with a row that it did not see: after a savepoint the server can report
        # which.
        return await insert_batch(conn, sql, write, _DIRECT_SCOPE)

    def _build_insert(self, write: WriteRequest, lock: CategoryLock) -> Statement:
        (message,) = write.encoded
        return Statement(
            self.dialect.sql.write_under_lock,
            (
                message.id,
                write.stream_name,
                message.type,
                message.data,
                message.metadata,
                write.expected,
                lock.mark,
            ),
        )

    def _record_written(self, write: WriteRequest, xmin: int | None) -> None:
        """Keep the evidence for the transaction: a message whose row is known, if there is one."""
        if xmin is not None or self.xmin is None:
            self.message_id, self.xmin = write.encoded[-1].id, xmin
        room = _MAX_NAMED_MESSAGES - len(self.written)
        if room > 0:
            for message in write.encoded[:room]:
                self.written.append((write.stream_name, message.id))


def _restore_search_path(rows: list[TupleRow]) -> Statement:
    """Return the statement that sets the search_path back to what it was."""
    return Statement(SET_SEARCH_PATH, (rows[0][0],))

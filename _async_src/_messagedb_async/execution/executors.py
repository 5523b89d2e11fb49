"""Execution of an operation on a connection: as a bare statement, or in a separate transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg

from messagedb._connection.history import UNKNOWN_HISTORY, parse_history
from messagedb._connection.position_sequence import is_position_taken
from messagedb._errors import IncompatibleServerError
from messagedb._operations import write_results
from messagedb._operations.validation import STREAM_EXISTS_CODE
from messagedb._sql.statements import (
    BEGIN,
    COMMIT,
    CONDITION_ON,
    HISTORY,
    NO_SORT,
    Statement,
)

from ..connection.connection import (
    AsyncStoreConnection,
    AsyncStoreCursor,
    check_replicated,
    execute,
    watching_commits,
)
from ..connection.position_sequence import check_sequence
from ..connection.psycopg_internals import pipeline
from .direct_writes import insert_batch
from .function_writes import write_by_functions
from .message_lookup import find_message
from .node_writes import write_on_node
from .write_scopes import WriteScope, abandon_scope

if TYPE_CHECKING:
    from psycopg.rows import TupleRow

    from messagedb._connection.position_sequence import Sequence
    from messagedb._operations.dialect import Dialect
    from messagedb._operations.requests import ReadRequest, WriteRequest

_BEGIN = Statement(BEGIN, ())
_COMMIT = Statement(COMMIT, ())
_NO_SORT = Statement(NO_SORT, ())
_TRANSACTION = WriteScope((_BEGIN,), (_COMMIT,), is_autocommit=True)


class AsyncExecutor(ABC):
    """One way to run reads and writes on a connection, which it owns while it is in use.

    The errors are psycopg's, or ours if the server's response decides.

    Attributes:
        dialect: the statements that the server supports.
        connection: the connection.
    """

    def __init__(self, dialect: Dialect, connection: Any) -> None:
        self.dialect = dialect
        self.connection = connection

    @abstractmethod
    async def read(self, read: ReadRequest) -> list[TupleRow]:
        """Return the rows of a read."""

    async def write(self, write: WriteRequest) -> list[int]:
        """Write all messages of a write or none, and return their positions."""
        dialect = self.dialect
        if dialect.is_proxied:
            dialect.check_write(write)
        if dialect.sequence.is_suspected:
            await check_sequence(self.connection, dialect.schema, dialect.sequence)
        try:
            return await self._write(write)
        except IncompatibleServerError as error:
            _note_position_taken(dialect.sequence, error)
            raise

    @abstractmethod
    async def _write(self, write: WriteRequest) -> list[int]: ...

    async def _call_function(self, cursor: AsyncStoreCursor, write: WriteRequest) -> list[int]:
        """Write one message by the server's function, which is a transaction by itself."""
        dialect = self.dialect
        try:
            rows = await execute(cursor, dialect.build_write_call(write, 0, write.expected))
        except psycopg.Error as error:
            if self.connection.closed or not write_results.is_conflict(error):
                raise
            return [await self._resolve_conflict(write, error)]
        return [rows[0][0]]

    async def _resolve_conflict(self, write: WriteRequest, error: psycopg.Error) -> int:
        """Return the position of a message that is already stored, or raise the conflict."""
        dialect, conn = self.dialect, self.connection
        location = await find_message(conn, dialect, write, 0)
        query = dialect.build_version_query(write)
        version = (await execute(AsyncStoreCursor(conn), query))[0][0]
        outcome = write_results.resolve_conflict(
            write, error, location, version, dialect.table_readable or dialect.has_nodes
        )
        if isinstance(outcome, int):
            return outcome
        raise outcome from error

    def set_deadline(self, deadline: float) -> None:
        """Set another deadline of the connection. One that is not ours has none."""
        if isinstance(self.connection, AsyncStoreConnection):
            self.connection.deadline = deadline

    def expect_commit(self) -> None:
        """Let a commit outlive the deadline. One on a connection that is not ours has none."""
        if isinstance(self.connection, AsyncStoreConnection):
            self.connection.may_commit = True

    def note_refusal(self, error: psycopg.Error) -> None:
        """Record that the server accepts no writes: it may have been the primary before."""
        if error.sqlstate == "25006" and isinstance(self.connection, AsyncStoreConnection):
            self.connection.is_outdated = True


class AsyncPoolExecutor(AsyncExecutor):
    """An executor for connections of a pool, which may be to servers of two histories."""

    @abstractmethod
    async def read_in_history(
        self, reads: tuple[ReadRequest, ...]
    ) -> tuple[list[list[TupleRow]], int]:
        """Return the rows of each read, and the number of their server's history."""


class AsyncAutocommitExecutor(AsyncPoolExecutor):
    """Executor on the client's own connections, which are set up: a call is a bare statement."""

    async def read(self, read: ReadRequest) -> list[TupleRow]:
        """Return the rows of a read. A condition is allowed for the one transaction of its call."""
        conn = self.connection
        cursor = AsyncStoreCursor(conn)
        if read.has_condition:
            async with pipeline(conn):
                await AsyncStoreCursor(conn).execute(CONDITION_ON, prepare=False)
                await cursor.execute(*read.call, binary=True, prepare=False)
            return await cursor.fetchall()
        if read.is_query_preferred and self.dialect.table_readable:
            async with pipeline(conn):
                await AsyncStoreCursor(conn).execute(NO_SORT, prepare=True)
                await cursor.execute(*read.query, binary=True, prepare=True)
            return await cursor.fetchall()
        return await execute(cursor, read.call)

    async def read_in_history(
        self, reads: tuple[ReadRequest, ...]
    ) -> tuple[list[list[TupleRow]], int]:
        """Return the rows of each read: one connection is one server, from its start to its end."""
        return [await self.read(read) for read in reads], self.connection.history_number

    async def _write(self, write: WriteRequest) -> list[int]:
        """Write by the server's function; search for the id only when it refuses.

        Raises:
            NotReplicated: it is committed, and an administrator has ended its wait for a standby.
        """
        dialect, conn, basis = self.dialect, self.connection, write.basis
        if basis is not None:
            # One connection is one server, from its start to its end.
            basis.checked_in = conn.history_number
            if basis.message_id and basis.history != conn.history_number:
                write_results.check_basis(write, await self.read(dialect.build_basis_read(write)))
            basis.sent_in.append(conn.history_number)
        is_call = len(write.encoded) == 1 and write.expected != STREAM_EXISTS_CODE
        if is_call and not (dialect.inserts_directly and write.encoded[0].is_large):
            positions = await self._call_function(conn.write_cursor, write)
        elif dialect.inserts_directly:
            positions = await insert_batch(conn, dialect.sql, write, _TRANSACTION)
        elif dialect.has_nodes:
            positions = await write_on_node(conn, dialect, write)
        else:
            positions = await write_by_functions(conn, dialect, write, _TRANSACTION)
        check_replicated(conn.notices)
        return positions


class AsyncTransactionPerCallExecutor(AsyncPoolExecutor):
    """Executor on others' connections: each operation is a transaction with its settings."""

    def __init__(self, dialect: Dialect, connection: Any) -> None:
        super().__init__(dialect, connection)
        self._scope = WriteScope((_BEGIN, dialect.transaction_setup), (_COMMIT,))

    async def read(self, read: ReadRequest) -> list[TupleRow]:
        """Return the rows of a read, in one round trip."""
        dialect = self.dialect
        statement = dialect.build_read_without_settings(read)
        return (await self._read_all((statement,), dialect.is_table_preferred(read)))[0]

    async def read_in_history(
        self, reads: tuple[ReadRequest, ...]
    ) -> tuple[list[list[TupleRow]], int]:
        """Return the rows of each read, in one round trip that reads the history as well.

        Behind a pooler the next one may be executed by another server.
        """
        dialect, session_config = self.dialect, self.dialect.session_config
        statements = tuple(dialect.build_read_without_settings(read) for read in reads)
        by_table = any(map(dialect.is_table_preferred, reads))
        if not session_config.has_readable_history:
            rows = await self._read_all(statements, by_table)
            return rows, session_config.get_history_number(UNKNOWN_HISTORY)
        *rows, history = await self._read_all((*statements, Statement(HISTORY, ())), by_table)
        return rows, session_config.get_history_number(parse_history(history[0]))

    async def _read_all(
        self, statements: tuple[Statement, ...], by_table: bool
    ) -> list[list[TupleRow]]:
        conn = self.connection
        cursors = [AsyncStoreCursor(conn) for _ in statements]
        enter = (*self._scope.enter, _NO_SORT) if by_table else self._scope.enter
        try:
            async with pipeline(conn):
                for text, params in enter:
                    await AsyncStoreCursor(conn).execute(text, params, prepare=False)
                for cursor, (text, params) in zip(cursors, statements, strict=True):
                    await cursor.execute(text, params, binary=True, prepare=False)
                await AsyncStoreCursor(conn).execute(COMMIT, prepare=False)
        except BaseException:
            await abandon_scope(conn, self._scope)
            raise
        return [await cursor.fetchall() for cursor in cursors]

    async def _write(self, write: WriteRequest) -> list[int]:
        """Write in a separate transaction.

        Raises:
            NotReplicated: it is committed, and an administrator has ended its wait for a standby.
        """
        dialect, conn = self.dialect, self.connection
        scope = self._scope if write.basis is None else await self._scope_on_basis(write)
        is_batch = len(write.encoded) > 1
        try:
            async with watching_commits(conn):
                if dialect.has_nodes and (is_batch or write.expected == STREAM_EXISTS_CODE):
                    return await write_on_node(conn, dialect, write)
                if dialect.is_proxied and write.expected != STREAM_EXISTS_CODE:
                    # Its lock would be another database's, and released immediately.
                    return await self._call_function(AsyncStoreCursor(conn), write)
                if dialect.inserts_directly:
                    return await insert_batch(conn, dialect.sql, write, scope)
                return await write_by_functions(conn, dialect, write, scope)
        except psycopg.errors.DivisionByZero:
            write_results.check_basis(write, [])
            raise

    async def _scope_on_basis(self, write: WriteRequest) -> WriteScope:
        """Return the scope of a write that first checks that its basis is there.

        Raises:
            LostHistoryError: it is not. Nothing was written.
        """
        basis, scope, dialect = write.basis, self._scope, self.dialect
        if basis is None or write.expected is None or write.expected < 0:
            return scope
        if not dialect.table_readable:
            write_results.check_basis(write, await self.read(dialect.build_basis_read(write)))
            return scope
        params = (write.stream_name, write.expected, basis.message_id)
        guard = Statement(dialect.sql.check_basis, params)
        return msgspec.structs.replace(scope, enter=(*scope.enter, guard))


def _note_position_taken(sequence: Sequence, error: IncompatibleServerError) -> None:
    """Record that a sequence assigned a position that was taken: later ones may be free."""
    cause = error.__cause__
    if isinstance(cause, psycopg.Error) and is_position_taken(cause):
        sequence.is_suspected = True

"""How an operation runs: on a session of ours, in a transaction of ours, or in the caller's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import psycopg

from messagedb._connection.history import UNKNOWN_HISTORY, history_from_row
from messagedb._connection.position_sequence import is_taken
from messagedb._connection.server_info import check_not_proxied
from messagedb._errors import IncompatibleServerError
from messagedb._operations import requests, write_results
from messagedb._operations.category_locks import lock_of
from messagedb._operations.validation import EXISTING_STREAM
from messagedb._sql.statements import (
    BEGIN,
    COMMIT,
    CONDITION_ON,
    HISTORY,
    NO_SORT,
    RELEASE_SAVEPOINT,
    ROLLBACK_TO_SAVEPOINT,
    SAVEPOINT,
    SEARCH_PATH,
    SET_SEARCH_PATH,
    Statement,
)

from ..connection.connection import (
    AsyncStoreConnection,
    AsyncStoreCursor,
    check_replicated,
    execute,
    watching_commits,
)
from ..connection.position_sequence import check
from ..connection.psycopg_internals import pipeline
from .direct_writes import write_directly
from .function_writes import Finder, write_by_functions
from .write_scopes import Frame, give_up, run, run_for

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import TupleRow

    from messagedb._connection.position_sequence import Sequence
    from messagedb._connection.server_info import Server
    from messagedb._connection.session_config import Profile
    from messagedb._operations.category_locks import CategoryLock
    from messagedb._operations.requests import Read, Write
    from messagedb._sql.statements import Statements

_BEGIN = Statement(BEGIN, ())
_COMMIT = Statement(COMMIT, ())
_SAVEPOINT = Statement(SAVEPOINT, ())
_BACK_TO_SAVEPOINT = (Statement(ROLLBACK_TO_SAVEPOINT, ()), Statement(RELEASE_SAVEPOINT, ()))
# So many messages of a transaction are named where its outcome is not known.
_MOST_NAMED = 1000
_RELEASE = Statement(RELEASE_SAVEPOINT, ())

_SEVERAL = "several messages that are written all or none"


class AsyncSession(Protocol):
    """One way to run reads and writes. Errors are psycopg's, or ours where the answer decides."""

    async def read(self, conn: Any, read: Read) -> list[TupleRow]:
        """Give the rows of a read."""
        ...

    async def write(self, conn: Any, write: Write) -> list[int]:
        """Write all messages of a write or none, and give their positions."""
        ...


class AsyncPoolSession(AsyncSession, Protocol):
    """One way to run them on connections of a pool, which may be to servers of two histories."""

    async def read_in_history(
        self, conn: Any, reads: tuple[Read, ...]
    ) -> tuple[list[list[TupleRow]], int]:
        """Give the rows of each read, and the number of the server's history they are of."""
        ...


class AsyncOwnSession:
    """On the client's own connections, set up when they were made: a call is a bare statement."""

    def __init__(self, profile: Profile, server: Server) -> None:
        self._sql = profile.sql
        self._schema = profile.settings.schema
        self._sequence = server.sequence
        self._server = server
        self._proxied = server.is_proxied
        self._direct = is_direct(profile, server)
        self._readable = server.table_readable
        self._finder = Finder(profile.sql, server.table_readable)
        self._frame = Frame((_BEGIN,), (_COMMIT,), implicit=True)

    async def read(self, conn: AsyncStoreConnection, read: Read) -> list[TupleRow]:
        """Give the rows of a read. A condition is allowed for the one transaction of its call."""
        cursor = AsyncStoreCursor(conn)
        if read.has_condition:
            async with pipeline(conn):
                await AsyncStoreCursor(conn).execute(CONDITION_ON, prepare=False)
                await cursor.execute(*read.call, binary=True, prepare=False)
            return await cursor.fetchall()
        if read.prefers_query and self._readable:
            async with pipeline(conn):
                await AsyncStoreCursor(conn).execute(NO_SORT, prepare=True)
                await cursor.execute(*read.query, binary=True, prepare=True)
            return await cursor.fetchall()
        return await execute(cursor, read.call)

    async def read_in_history(
        self, conn: AsyncStoreConnection, reads: tuple[Read, ...]
    ) -> tuple[list[list[TupleRow]], int]:
        """Give the rows of each read: one connection is one server, from its start to its end."""
        return [await self.read(conn, read) for read in reads], conn.history_number

    async def write(self, conn: AsyncStoreConnection, write: Write) -> list[int]:
        """Write by the server's function; look only when it refuses.

        Raises:
            NotReplicated: it is committed, and somebody has ended its wait for a standby.
        """
        if self._proxied and len(write.encoded) > 1:
            check_not_proxied(self._server, _SEVERAL)
        if self._sequence.is_suspected:
            await check(conn, self._schema, self._sequence)
        if write.basis is not None and write.basis.history != conn.history_number:
            write_results.check_basis(write, await self.read(conn, look_at_basis(self._sql, write)))
        try:
            positions = await self._write(conn, write)
        except IncompatibleServerError as error:
            note_taken(self._sequence, error)
            raise
        check_replicated(conn.notices)
        return positions

    async def _write(self, conn: AsyncStoreConnection, write: Write) -> list[int]:
        if len(write.encoded) > 1 or write.expected == EXISTING_STREAM:
            if self._direct:
                return await write_directly(conn, self._sql, write, self._frame)
            return await write_by_functions(conn, self._sql, write, self._frame, self._finder)
        return await write_alone(conn, conn.commands, self._sql, write, self._finder)


class AsyncLocalSession:
    """On connections not ours to set up: each operation is a transaction with its own settings."""

    def __init__(self, profile: Profile, server: Server) -> None:
        self._sql = profile.sql
        self._schema = profile.settings.schema
        self._sequence = server.sequence
        self._server = server
        self._proxied = server.is_proxied
        self._direct = is_direct(profile, server)
        self._readable = server.table_readable
        self._finder = Finder(profile.sql, server.table_readable)
        self._frame = Frame((_BEGIN, profile.set_up_transaction()), (_COMMIT,))
        self._profile = profile

    async def read(self, conn: AsyncConnection[Any], read: Read) -> list[TupleRow]:
        """Give the rows of a read, in one round trip."""
        return (await self._read_all(conn, (condition_free(read, self._readable),)))[0]

    async def read_in_history(
        self, conn: AsyncConnection[Any], reads: tuple[Read, ...]
    ) -> tuple[list[list[TupleRow]], int]:
        """Give the rows of each read, in one round trip that asks for the history as well.

        Behind a pooler the next one may be answered by another server.
        """
        texts = tuple(condition_free(read, self._readable) for read in reads)
        if not self._profile.reads_history:
            return await self._read_all(conn, texts), self._profile.number_of(UNKNOWN_HISTORY)
        *rows, history = await self._read_all(conn, (*texts, Statement(HISTORY, ())))
        return rows, self._profile.number_of(history_from_row(history[0]))

    async def _read_all(
        self, conn: AsyncConnection[Any], statements: tuple[Statement, ...]
    ) -> list[list[TupleRow]]:
        cursors = [AsyncStoreCursor(conn) for _ in statements]
        try:
            async with pipeline(conn):
                for begin, values in self._frame.begin:
                    await AsyncStoreCursor(conn).execute(begin, values, prepare=False)
                for cursor, (text, params) in zip(cursors, statements, strict=True):
                    await cursor.execute(text, params, binary=True, prepare=False)
                await AsyncStoreCursor(conn).execute(COMMIT, prepare=False)
        except BaseException:
            await give_up(conn, self._frame)
            raise
        return [await cursor.fetchall() for cursor in cursors]

    async def write(self, conn: AsyncConnection[Any], write: Write) -> list[int]:
        """Write in a transaction of its own.

        Raises:
            NotReplicated: it is committed, and somebody has ended its wait for a standby.
        """
        if self._proxied and len(write.encoded) > 1:
            check_not_proxied(self._server, _SEVERAL)
        if self._sequence.is_suspected:
            await check(conn, self._schema, self._sequence)
        frame = self._frame if write.basis is None else await self._on_basis(conn, write)
        try:
            async with watching_commits(conn):
                if self._proxied and write.expected != EXISTING_STREAM:
                    # Its lock would be another database's, and let go at once.
                    return await write_alone(
                        conn, AsyncStoreCursor(conn), self._sql, write, self._finder
                    )
                if self._direct:
                    return await write_directly(conn, self._sql, write, frame)
                return await write_by_functions(conn, self._sql, write, frame, self._finder)
        except psycopg.errors.DivisionByZero:
            write_results.check_basis(write, [])
            raise
        except IncompatibleServerError as error:
            note_taken(self._sequence, error)
            raise

    async def _on_basis(self, conn: AsyncConnection[Any], write: Write) -> Frame:
        """Give the frame of a write that first sees that its basis is there.

        Raises:
            LostHistoryError: it is not. Nothing was written.
        """
        basis, frame = write.basis, self._frame
        if basis is None or write.expected is None or write.expected < 0:
            return frame
        if not self._readable:
            write_results.check_basis(write, await self.read(conn, look_at_basis(self._sql, write)))
            return frame
        params = (write.stream_name, write.expected, basis.message_id)
        guard = Statement(self._sql.check_basis, params)
        return msgspec.structs.replace(frame, begin=(*frame.begin, guard))


class AsyncJoinedSession:
    """In the caller's transaction: what is set is set back, and no outcome of a write aborts it.

    Attributes:
        transaction_id: PostgreSQL's id of the transaction, once a single message was written.
        message_id: the id of a message that was written and not taken back, None for none.
        xmin: the transaction that this message's row is of, as far as is known: this one, or that
            of a savepoint.
        written: stream and id of the messages that were written, the first thousand.
    """

    transaction_id: int | None = None
    message_id: str | None = None
    xmin: int | None = None

    def __init__(self, profile: Profile, server: Server, conn: AsyncConnection[Any]) -> None:
        self._sql = profile.sql
        self._schema = profile.settings.schema
        self._sequence = server.sequence
        self._server = server
        self._proxied = server.is_proxied
        self._direct = is_direct(profile, server)
        self._readable = server.table_readable
        self._finder = Finder(profile.sql, server.table_readable)
        # Kept, because making one costs as much as a tenth of a write.
        self._commands = AsyncStoreCursor(conn)
        self._search_path = Statement(SET_SEARCH_PATH, (profile.search_path,))
        self._frame = Frame((_SAVEPOINT,), (_RELEASE,), _BACK_TO_SAVEPOINT, marks=True)
        # The locks that the transaction probably holds. The server is asked each time.
        self._held: set[int] = set()
        self.written: list[tuple[str, str]] = []

    def has_taken(self, locks: tuple[CategoryLock, ...], transaction_id: int) -> None:
        """Take note of locks that the transaction has taken and marked at its beginning."""
        self._held.update(lock.key for lock in locks)
        self.transaction_id = transaction_id

    def forget(self) -> None:
        """Take note that the transaction has ended, or a part of it was rolled back."""
        self._held.clear()
        self.message_id = self.xmin = None

    async def read(self, conn: AsyncConnection[Any], read: Read) -> list[TupleRow]:
        """Give the rows of a read: of the table, which needs no setting; else of the functions."""
        if self._readable and not read.has_condition:
            return await execute(AsyncStoreCursor(conn), read.query)
        call = condition_free(read, self._readable)
        before = await execute(AsyncStoreCursor(conn), Statement(SEARCH_PATH, ()))
        rows = await run_for(conn, (self._search_path,), call)
        await run(conn, (search_path_of(before),))
        return rows

    async def write(self, conn: AsyncConnection[Any], write: Write) -> list[int]:
        """Write under the category's lock, which the caller's transaction then holds to its end."""
        if self._proxied and len(write.encoded) > 1:
            check_not_proxied(self._server, _SEVERAL)
        if self._sequence.is_suspected:
            await check(conn, self._schema, self._sequence)
        try:
            if self._direct and len(write.encoded) == 1:
                return await self._write_one(conn, write)
            return await self._write_several(conn, write)
        except IncompatibleServerError as error:
            note_taken(self._sequence, error)
            raise

    async def _write_several(self, conn: AsyncConnection[Any], write: Write) -> list[int]:
        if self._direct:
            positions = await write_directly(conn, self._sql, write, self._frame)
            self._held.add(lock_of(write.stream_name).key)
            self._note(write, None)
            return positions
        before = await execute(AsyncStoreCursor(conn), Statement(SEARCH_PATH, ()))
        frame = Frame(
            (_SAVEPOINT, self._search_path), (search_path_of(before), _RELEASE), _BACK_TO_SAVEPOINT
        )
        positions = await write_by_functions(conn, self._sql, write, frame, self._finder)
        self._note(write, None)
        return positions

    async def _write_one(self, conn: AsyncConnection[Any], write: Write) -> list[int]:
        """Write one message: in one statement, and behind the lock if that is not held yet."""
        lock = lock_of(write.stream_name)
        (message,) = write.encoded
        id, stream_name = message.id, write.stream_name
        insert = Statement(
            self._sql.write_under_lock,
            (
                id,
                stream_name,
                message.type,
                message.data,
                message.metadata,
                write.expected,
                lock.mark,
            ),
        )
        rows: list[TupleRow] = []
        if lock.key in self._held:
            rows = await execute(self._commands, insert)
        if not rows:
            rows = await run_for(conn, (lock.take_and_mark(),), insert)
            self._held.add(lock.key)
        if rows:
            position, self.transaction_id, xmin = rows[0]
            self._note(write, xmin)
            return [position]
        look = Statement(self._sql.look_at_write, (id, stream_name))
        position = write_results.unwritten(write, (await execute(self._commands, look))[0])
        if position is not None:
            return [position]
        # It met what it did not see: behind a savepoint the server may say what that is.
        return await write_directly(conn, self._sql, write, self._frame)

    def _note(self, write: Write, xmin: int | None) -> None:
        """Keep what is to prove the transaction: a message whose row is known, if there is one."""
        if xmin is not None or self.xmin is None:
            self.message_id, self.xmin = write.encoded[-1].id, xmin
        room = _MOST_NAMED - len(self.written)
        if room > 0:
            self.written += [(write.stream_name, each.id) for each in write.encoded[:room]]


async def write_alone(
    conn: AsyncConnection[Any],
    cursor: AsyncStoreCursor,
    sql: Statements,
    write: Write,
    finder: Finder,
) -> list[int]:
    """Write one message by the server's function, which is a transaction by itself."""
    call = requests.call_of_write(sql, write, 0, write.expected)
    try:
        rows = await execute(cursor, call)
    except psycopg.Error as error:
        if conn.closed or not write_results.is_conflict(error):
            raise
        place = await finder.find(conn, write, 0)
        look = Statement(sql.version_and_isolation, (write.stream_name,))
        version = (await execute(AsyncStoreCursor(conn), look))[0][0]
        settled = write_results.settle(write, error, place, version, finder.table_readable)
        if isinstance(settled, int):
            return [settled]
        raise settled from error
    return [rows[0][0]]


def note_taken(sequence: Sequence, error: IncompatibleServerError) -> None:
    """Take note of a sequence that gave a position which was taken: later ones may be free."""
    cause = error.__cause__
    if isinstance(cause, psycopg.Error) and is_taken(cause):
        sequence.is_suspected = True


def look_at_basis(sql: Statements, write: Write) -> Read:
    """The read of the message that a write was decided upon."""
    assert write.expected is not None
    return requests.read_stream(sql, write.stream_name, max(write.expected, 0), 1, None)


def search_path_of(rows: list[TupleRow]) -> Statement:
    """The statement that sets the search_path back to what it was."""
    return Statement(SET_SEARCH_PATH, (rows[0][0],))


def is_direct(profile: Profile, server: Server) -> bool:
    """Whether writes in a transaction insert into the table, under the functions' lock."""
    wanted = profile.settings.direct_writes
    able = server.table_readable and server.table_writable
    return able if wanted is None else wanted and able


def condition_free(read: Read, table_readable: bool) -> Statement:
    """The statement of a read that leaves the session's settings alone.

    Setting ``message_store.sql_condition`` for a transaction would leave a session that never had
    it at the empty value, which the server takes for "on". With a condition the table is asked the
    same question instead.

    Raises:
        IncompatibleServerError: with a condition, where the role may not read the table. Nothing
            was sent.
    """
    if not read.has_condition:
        return read.query if read.prefers_query and table_readable else read.call
    if not table_readable:
        raise IncompatibleServerError(
            "a read with an SQL condition on a connection that is not the client's own asks the "
            "table of messages, "
            "and the role may not read that. Nothing was changed. Read through the client's own "
            "pool, or without "
            "a condition."
        )
    return read.query

"""The client's own connection and cursor classes."""

from __future__ import annotations

import math
import os
import traceback
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import proxy, ref

import psycopg
from psycopg import AsyncConnection, AsyncCursor, AsyncRawCursor
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus
from psycopg.rows import TupleRow, tuple_row

from messagedb._connection.adapters import ADAPTERS
from messagedb._connection.commit_notices import CommitNotices
from messagedb._connection.connect_errors import parse_refusal
from messagedb._connection.error_mapping import CommandTimeout, NotReplicated
from messagedb._connection.history import UNKNOWN_HISTORY, ServerHistory, parse_history
from messagedb._connection.psycopg_internals import (
    WaitTimeout,
    build_repetition,
    current_pipeline,
)
from messagedb._connection.session_config import SessionConfig
from messagedb._sql.statements import COMMIT

from .interruptions import abort_operation, find_hidden_interruption, is_interruption
from .psycopg_internals import execute_uncancelled, pipeline

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from psycopg.abc import AdaptContext, ConnParam, PQGen
    from psycopg.adapt import AdaptersMap
    from psycopg.rows import AsyncRowFactory

    from messagedb._sql.statements import Statement

R = TypeVar("R")

# psycopg's own default, for the user's statements in a transaction: ours are prepared immediately.
_PREPARE_THRESHOLD = 5


class AsyncStoreCursor(AsyncRawCursor[TupleRow]):
    """A cursor with tuples for rows and only our own adapters, whatever its connection has.

    Attributes:
        is_preparing: whether our statements are prepared at their first use. On a connection that
            is not ours its owner's threshold decides.
    """

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        super().__init__(connection, row_factory=tuple_row)
        self.is_preparing = isinstance(connection, AsyncStoreConnection)

    @property
    def adapters(self) -> AdaptersMap:
        """Adapters of our statements; those of the connection are its owner's."""
        return ADAPTERS


class AsyncStoreConnection(AsyncConnection[TupleRow]):
    """A connection that stops waiting at its deadline, and then closes itself.

    Attributes:
        deadline: when the current operation must have ended, by the clock of ``time.monotonic``.
        write_cursor: the cursor for writes, kept because creating one costs as much as a tenth of a
            write.
        is_in_transaction: whether it is reserved for a transaction that has methods to end it.
        created_at: when it was opened, by the same clock.
        is_unresponsive: whether the server sent nothing until the deadline, not even that it
            aborted.
        is_outdated: whether the server no longer accepts writes.
        may_commit: whether the running statement may be a commit, whose connection outlives the
            deadline.
        is_waiting: whether it has passed its deadline so, and the server may still be at work.
        notices: the server's notices about commits, beside its responses.
        history: that of the server when the connection was opened.
        history_number: the client's number of that history.
        known_processes: the pool's reference to it; None while it is not in one.
        process: the process that opened it.
    """

    deadline: float = math.inf
    created_at: float = -math.inf
    is_unresponsive: bool = False
    is_outdated: bool = False
    may_commit: bool = False
    is_waiting: bool = False
    notices: CommitNotices
    history: ServerHistory = UNKNOWN_HISTORY
    history_number: int = 0
    known_processes: ref[AsyncStoreConnection] | None = None
    process: int = 0
    write_cursor: AsyncStoreCursor
    is_in_transaction: bool = False

    @classmethod
    async def connect(
        cls,
        conninfo: str = "",
        *,
        autocommit: bool = False,
        prepare_threshold: int | None = 5,
        context: AdaptContext | None = None,
        row_factory: AsyncRowFactory[Any] | None = None,
        cursor_factory: type[Any] | None = None,
        **kwargs: ConnParam,
    ) -> AsyncStoreConnection:
        """Connect, and set the session up in one round trip."""
        assert isinstance(context, SessionConfig)
        deadline = monotonic() + context.connect_seconds
        try:
            conn = await super().connect(
                conninfo,
                autocommit=True,
                prepare_threshold=None,
                context=context,
                row_factory=None,
                cursor_factory=None,
                **kwargs,
            )
            conn.process = os.getpid()
            conn.deadline = deadline
            conn.created_at = monotonic()
            # Without a reference back: a lost one is collected, and replaced, immediately.
            conn.write_cursor = AsyncStoreCursor(proxy(conn))
            conn.notices = CommitNotices()
            conn.add_notice_handler(conn.notices.take)
            if context.session_settings:
                conn.prepare_threshold = _PREPARE_THRESHOLD
                try:
                    await conn._set_up_first(context)
                except BaseException:
                    await conn.close()
                    raise
        except BaseException as error:
            # A connection that failed to open stays open as long as the frames that hold it are
            # kept.
            traceback.clear_frames(error.__traceback__)
            if isinstance(error, psycopg.Error):
                context.last_error = parse_refusal(error)
            raise
        context.last_error = None
        conn.deadline = math.inf
        return conn

    async def reset_session(self, session_config: SessionConfig) -> None:
        """Undo the user's settings of the session, in one round trip.

        Raises:
            psycopg.Error: it failed. The connection is to be closed.
        """
        self.row_factory = tuple_row
        self.cursor_factory = AsyncCursor
        if session_config.session_settings and is_reusable(self):
            async with pipeline(self):
                for text in (b"RESET SESSION AUTHORIZATION", b"RESET ALL"):
                    await AsyncStoreCursor(self).execute(text, prepare=False)
                await self._set_up(session_config)

    async def _set_up_first(self, session_config: SessionConfig) -> None:
        try:
            await self._set_up(session_config)
        except psycopg.errors.InsufficientPrivilege:
            if not session_config.has_readable_history:
                raise
            # Its privilege to read the history was revoked since the client was opened.
            session_config.has_readable_history = False
            await self._set_up(session_config)

    async def _set_up(self, session_config: SessionConfig) -> None:
        text, params = session_config.build_session_setup()
        cursor = AsyncStoreCursor(self)
        await cursor.execute(text, params, prepare=False)
        if session_config.has_readable_history and current_pipeline(self) is None:
            rows = await cursor.fetchall()
            self.history = parse_history(rows[0][-3:])
        if not self.history_number:
            self.history_number = session_config.get_history_number(self.history)

    async def commit(self) -> None:
        """Commit the open transaction, unless another object has to do that."""
        self._check_not_in_transaction()
        await super().commit()

    async def rollback(self) -> None:
        """Roll back the open transaction, unless another object has to do that."""
        self._check_not_in_transaction()
        await super().rollback()

    def _check_not_in_transaction(self) -> None:
        if self.is_in_transaction:
            raise psycopg.ProgrammingError(
                "the transaction on this connection belongs to a client: end it with commit() or"
                " rollback() of the object that transaction() or begin() returned"
            )

    async def wait(self, gen: PQGen[R], interval: float = 0.1, timeout: float | None = None) -> R:
        """Wait for the server, until the deadline at the longest.

        An exception from outside is raised, and breaks the connection off.
        """
        if self.process not in (0, os.getpid()):
            # Data to send is sent during the wait: nothing was.
            raise psycopg.OperationalError(
                "the connection was opened before this process was forked, and belongs to the"
                " parent"
            )
        hidden: BaseException | None = None
        try:
            if self.deadline == math.inf:
                return await super().wait(gen, interval, timeout)
            remaining = max(self.deadline - monotonic(), 0.0)
            if timeout is not None and timeout < remaining:
                return await super().wait(gen, interval, timeout)
            try:
                return await super().wait(gen, interval, remaining)
            except WaitTimeout:
                self.is_unresponsive = True
                if not self.may_commit:
                    self.pgconn.finish()
                    raise CommandTimeout(
                        "the server did not respond in time; the connection was closed"
                    ) from None
                # A commit may wait for a standby: that continues, also without the connection.
                self.is_waiting = True
                raise CommandTimeout("the server did not respond in time") from None
        except psycopg.OperationalError as error:
            hidden = find_hidden_interruption(error)
            if hidden is None:
                raise
        except BaseException as error:
            if is_interruption(error):
                abort_operation(self)
            raise
        abort_operation(self)
        raise hidden


async def commit(
    conn: AsyncConnection[Any], deadline: float, command: bytes = COMMIT
) -> str | None:
    """Send a COMMIT, wait for its response, and return the command that the server has executed.

    Unlike other statements it is never cancelled, also when the task is: a commit that waits for a
    standby would end immediately, be visible, and be lost with the primary.

    Args:
        conn: a connection in a transaction, and in no pipeline.
        deadline: how long to wait, by the clock of ``time.monotonic``. The connection is then not
            changed: the server may still be at work.
        command: the COMMIT, and statements before it that are sent in the same message: if one of
            them fails, the server does not execute the COMMIT.

    Raises:
        CommandTimeout: no response came in time. It may be committed now or later.
        NotReplicated: it is committed, and an administrator has ended its wait for a standby.
        psycopg.Error: the server's refusal, or the connection was lost.
    """
    notices = conn.notices if isinstance(conn, AsyncStoreConnection) else CommitNotices()
    notices.is_unreplicated = False
    if not isinstance(conn, AsyncStoreConnection):
        conn.add_notice_handler(notices.take)
    try:
        result = await execute_uncancelled(conn, command, deadline)
    except WaitTimeout:
        raise CommandTimeout("the server did not respond to the COMMIT in time") from None
    finally:
        if not isinstance(conn, AsyncStoreConnection):
            conn.remove_notice_handler(notices.take)
    if result.status != ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(result, encoding="utf-8")
    if notices.is_unreplicated:
        raise NotReplicated(_NOT_REPLICATED_TEXT)
    status = result.command_status
    return None if status is None else status.decode()


_NOT_REPLICATED_TEXT = (
    "the server has committed, but an administrator ended the wait for its synchronous standby"
)


@asynccontextmanager
async def watching_commits(conn: AsyncConnection[Any]) -> AsyncGenerator[None]:
    """Check that commits in the block are also on the standby if they have to be.

    Raises:
        NotReplicated: it is committed, and an administrator has ended its wait for a standby.
    """
    if isinstance(conn, AsyncStoreConnection):
        notices = conn.notices
        notices.is_unreplicated = False
        yield
    else:
        notices = CommitNotices()
        conn.add_notice_handler(notices.take)
        try:
            yield
        finally:
            conn.remove_notice_handler(notices.take)
    check_replicated(notices)


def check_replicated(notices: CommitNotices) -> None:
    """Check that the last commit did not end before a standby had it.

    Raises:
        NotReplicated: it did.
    """
    if notices.is_unreplicated:
        notices.is_unreplicated = False
        raise NotReplicated(_NOT_REPLICATED_TEXT)


def is_reusable(conn: AsyncConnection[Any]) -> bool:
    """Return True if a connection can serve another operation.

    A task that is cancelled while it enters a pipeline leaves the mode on, which the pool does not
    check.
    """
    pgconn = conn.pgconn
    return (
        pgconn.transaction_status == TransactionStatus.IDLE
        and pgconn.pipeline_status == PipelineStatus.OFF
        and current_pipeline(conn) is None
    )


async def execute(cursor: AsyncStoreCursor, statement: Statement) -> list[TupleRow]:
    """Execute one statement and return all of its rows, in binary."""
    text, params = statement
    conn, prepare = cursor.connection, cursor.is_preparing or None
    if current_pipeline(conn) is not None:
        # Its end is known to psycopg, so that the next operation need not ask for it.
        async with pipeline(conn):
            await cursor.execute(text, params, binary=True, prepare=prepare)
        return await cursor.fetchall()
    async with conn.lock:
        repetition = build_repetition(cursor, text, params)
        if repetition is not None:
            return await conn.wait(repetition)
    await cursor.execute(text, params, binary=True, prepare=prepare)
    return await cursor.fetchall()

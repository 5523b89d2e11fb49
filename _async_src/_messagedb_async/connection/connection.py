"""The client's own connection and cursor classes."""

from __future__ import annotations

import math
import os
import traceback
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import proxy, ref

import psycopg
from psycopg import AsyncConnection, AsyncCursor, AsyncPipeline, AsyncRawCursor, generators, waiting
from psycopg.pq import ConnStatus, ExecStatus, PipelineStatus, TransactionStatus
from psycopg.rows import TupleRow, tuple_row

from messagedb._concurrency.backend_async import CANCELLED
from messagedb._connection.adapters import ADAPTERS
from messagedb._connection.commit_notices import CommitNotices
from messagedb._connection.connect_errors import refusal
from messagedb._connection.error_mapping import CommandTimeout, NotReplicated
from messagedb._connection.history import UNKNOWN_HISTORY, ServerHistory, history_from_row
from messagedb._connection.session_config import Profile
from messagedb._errors import MessageDBError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from psycopg.abc import AdaptContext, ConnParam, PQGen
    from psycopg.adapt import AdaptersMap
    from psycopg.rows import AsyncRowFactory

    from messagedb._sql.statements import Statement

R = TypeVar("R")

# psycopg's own default, for the user's statements in a transaction: ours are prepared at once.
_PREPARE_THRESHOLD = 5

# How often psycopg's wait looks up, in seconds.
_INTERVAL = 0.1


class AsyncStoreCursor(AsyncRawCursor[TupleRow]):
    """A cursor with tuples for rows and only our own adapters, whatever its connection has.

    Attributes:
        prepares: whether our statements are prepared at their first use. On a connection that is
            not ours its owner's threshold decides.
    """

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        super().__init__(connection, row_factory=tuple_row)
        self.prepares = isinstance(connection, AsyncStoreConnection)

    @property
    def adapters(self) -> AdaptersMap:
        """The adapters of our statements; those of the connection are its owner's."""
        return ADAPTERS


class AsyncStoreConnection(AsyncConnection[TupleRow]):
    """A connection that gives up waiting at its deadline, and closes itself when it does.

    Attributes:
        deadline: when the operation in hand must have ended, by the clock of ``time.monotonic``.
        commands: the cursor for writes, kept because making one costs as much as a tenth of a
            write.
        is_in_transaction: whether it is kept for a transaction that has methods to end it.
        made_at: when it was made, by the same clock.
        fell_silent: whether the server said nothing until the deadline, not even that it gives up.
        is_outdated: whether the server takes no writes any more.
        may_commit: whether what runs may be a commit, whose connection outlives the deadline.
        is_waiting: whether it was given up so, and the server may still be at work.
        notices: what the server says of commits beside their answers.
        history: that of the server, as it was when the connection was made.
        history_number: the number that the client has given to that.
        known: what its pool knows it by; None while it is not in one.
        process: the process that has made it.
    """

    deadline: float = math.inf
    made_at: float = -math.inf
    fell_silent: bool = False
    is_outdated: bool = False
    may_commit: bool = False
    is_waiting: bool = False
    notices: CommitNotices
    history: ServerHistory = UNKNOWN_HISTORY
    history_number: int = 0
    known: ref[AsyncStoreConnection] | None = None
    process: int = 0
    commands: AsyncStoreCursor
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
        assert isinstance(context, Profile)
        deadline = monotonic() + context.connect_limit
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
            conn.made_at = monotonic()
            # Without a reference back: one that was lost is collected, and replaced, at once.
            conn.commands = AsyncStoreCursor(proxy(conn))
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
            # A half-made connection stays open as long as the frames that hold it are kept.
            traceback.clear_frames(error.__traceback__)
            if isinstance(error, psycopg.Error):
                context.last_error = refusal(error)
            raise
        context.last_error = None
        conn.deadline = math.inf
        return conn

    async def set_up_again(self, profile: Profile) -> None:
        """Undo what a user has set in the session, in one round trip.

        Raises:
            psycopg.Error: it failed. The connection is to be closed.
        """
        self.row_factory = tuple_row
        self.cursor_factory = AsyncCursor
        if profile.session_settings and is_clean(self):
            async with pipeline(self):
                for text in (b"RESET SESSION AUTHORIZATION", b"RESET ALL"):
                    await AsyncStoreCursor(self).execute(text, prepare=False)
                await self._set_up(profile)

    async def _set_up_first(self, profile: Profile) -> None:
        try:
            await self._set_up(profile)
        except psycopg.errors.InsufficientPrivilege:
            if not profile.reads_history:
                raise
            # Its right to read the history was taken away since the client was opened.
            profile.reads_history = False
            await self._set_up(profile)

    async def _set_up(self, profile: Profile) -> None:
        text, params = profile.set_up()
        cursor = AsyncStoreCursor(self)
        await cursor.execute(text, params, prepare=False)
        if profile.reads_history and self._pipeline is None:
            rows = await cursor.fetchall()
            self.history = history_from_row(rows[0][-3:])
        if not self.history_number:
            self.history_number = profile.number_of(self.history)

    async def commit(self) -> None:
        """Commit what was begun, unless another object is to do that."""
        self._check_may_end()
        await super().commit()

    async def rollback(self) -> None:
        """Roll back what was begun, unless another object is to do that."""
        self._check_may_end()
        await super().rollback()

    def _check_may_end(self) -> None:
        if self.is_in_transaction:
            raise psycopg.ProgrammingError(
                "the transaction on this connection is a client's: end it with commit() or "
                "rollback() of the object that transaction() or begin() gave"
            )

    async def wait(self, gen: PQGen[R], interval: float = 0.1, timeout: float | None = None) -> R:
        """Wait for the server, until the deadline at the longest.

        An exception from outside comes through, and breaks the connection off.
        """
        if self.process not in (0, os.getpid()):
            # What is to be sent is sent while it waits: nothing was.
            raise psycopg.OperationalError(
                "the connection was made before this process was forked, and is the parent's"
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
            except psycopg.errors._WaitTimeout:  # pyright: ignore[reportPrivateUsage]
                self.fell_silent = True
                if not self.may_commit:
                    self.pgconn.finish()
                    raise CommandTimeout(
                        "the server did not answer in time; the connection was closed"
                    ) from None
                # A commit may wait for a standby: that goes on, whatever becomes of the connection.
                self.is_waiting = True
                raise CommandTimeout("the server did not answer in time") from None
        except psycopg.OperationalError as error:
            hidden = hidden_in(error)
            if hidden is None:
                raise
        except BaseException as error:
            if is_from_outside(error):
                break_off(self)
            raise
        break_off(self)
        raise hidden


class AsyncStorePipeline(AsyncPipeline):
    """psycopg's pipeline, but the Sync that ends it is the last that it sends.

    psycopg sends a Flush after it. A transaction pooler that reads that only when it has taken the
    server's connection back already gives this client another one, and never takes it back.

    And it does not warn, for an error that is expected, of the statements that went with it.

    Attributes:
        is_ending: whether its end has begun.
    """

    is_ending: bool = False

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Wait for the answers of what was sent."""
        if exc_val is not None and is_from_outside(exc_val):
            break_off(self._conn)
        self.is_ending = True
        problem = exc_val
        try:
            # The server may be at work on a commit: then the connection stays as it is.
            if not getattr(self._conn, "is_waiting", False):
                async with self._conn.lock:
                    await self._conn.wait(self._exit_gen())
        except psycopg.Error as error:
            if exc_val is None:
                problem = error
                raise error.with_traceback(None)  # noqa: B904 (as psycopg raises it)
        except BaseException as error:
            problem = error
            if is_from_outside(error):
                break_off(self._conn)
            raise
        finally:
            if not getattr(self._conn, "is_waiting", False):
                self._exit(problem)

    def _exit_gen(self) -> PQGen[None]:
        # Not in a finally: after an exception from outside there may be nothing to wait for.
        try:
            self._enqueue_sync()
            yield from self._communicate_gen()
        except psycopg.Error:
            yield from self._rest_gen()
            raise
        yield from self._rest_gen()

    def _rest_gen(self) -> PQGen[None]:
        # Who was interrupted twice has closed the connection, and waits for nothing more.
        if self.result_queue and self.pgconn.status == ConnStatus.OK:
            yield from generators.send(self.pgconn)
            yield from self._fetch_gen(flush=False)


def is_from_outside(error: BaseException) -> bool:
    """Whether an exception is neither psycopg's nor ours: a signal's handler has raised it.

    The cancellation of a task is none: psycopg waits for the end of what it interrupts.
    """
    return not isinstance(error, (psycopg.Error, MessageDBError, CANCELLED, GeneratorExit))


def hidden_in(error: psycopg.OperationalError) -> BaseException | None:
    """An exception from outside that psycopg took for one of the socket, as it does an OSError.

    One of the operating system has a number; a TimeoutError that an application raises has none.
    """
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno is None:
        return cause
    return None


def break_off(conn: AsyncConnection[Any]) -> None:
    """Close a connection on which an operation was interrupted, and wait for nothing.

    What the server was doing may still be done. Where that may be a commit, a connection of ours
    stays open until it has answered. One of the user's is left alone unless it is of no more use.
    """
    pgconn = conn.pgconn
    is_at_work = pgconn.transaction_status == TransactionStatus.ACTIVE
    if not isinstance(conn, AsyncStoreConnection):
        if is_at_work:
            pgconn.finish()
    elif conn.may_commit and is_at_work and _was_sent(conn):
        conn.is_waiting = True
    else:
        pgconn.finish()


def _was_sent(conn: AsyncStoreConnection) -> bool:
    """Whether what ends a write was sent to the server, as far as is known."""
    pipeline = cast("Any", conn._pipeline)  # pyright: ignore[reportPrivateUsage]
    return pipeline is None or (pipeline.is_ending and not pipeline.command_queue)


@asynccontextmanager
async def pipeline(conn: AsyncConnection[Any]) -> AsyncGenerator[AsyncPipeline]:
    """Be in a pipeline of ours, or in the one that the caller of a bound connection is in.

    A task that is cancelled while psycopg enters a pipeline would leave the connection in it.
    """
    if conn._pipeline is not None:  # pyright: ignore[reportPrivateUsage]
        async with conn.pipeline() as given:
            yield given
        return
    conn._pipeline = AsyncStorePipeline(conn)  # pyright: ignore[reportPrivateUsage]
    try:
        async with conn.pipeline() as ours:
            yield ours
    finally:
        left = cast("Any", conn._pipeline)  # pyright: ignore[reportPrivateUsage]
        if left is not None:
            conn._pipeline = None  # pyright: ignore[reportPrivateUsage]
            # Nothing was sent yet: unless the connection is dead, this does not fail.
            with suppress(psycopg.OperationalError):
                conn.pgconn.exit_pipeline_mode()


async def commit(conn: AsyncConnection[Any], deadline: float) -> str | None:
    """Send a COMMIT, and wait for its answer; give the command that the server says it has done.

    Unlike other statements it is never cancelled, also when the task is: a commit that waits for a
    standby would end at once, be visible, and be lost with the primary.

    Args:
        conn: a connection in a transaction, and in no pipeline.
        deadline: how long to wait, by the clock of ``time.monotonic``. The connection is then left
            as it is: the server may still be at work.

    Raises:
        CommandTimeout: no answer came in time. It may be committed, or still be.
        NotReplicated: it is committed, and somebody has ended its wait for a standby.
        psycopg.Error: the server's refusal, or the connection was lost.
    """
    pgconn = conn.pgconn
    notices = conn.notices if isinstance(conn, AsyncStoreConnection) else CommitNotices()
    notices.is_unreplicated = False
    if not isinstance(conn, AsyncStoreConnection):
        conn.add_notice_handler(notices.take)
    try:
        async with conn.lock:
            pgconn.send_query(b"COMMIT")
            (result, *_) = await waiting.wait_async(
                generators.execute(pgconn),
                pgconn.socket,
                interval=_INTERVAL,
                timeout=max(deadline - monotonic(), 0.0),
            )
    except psycopg.errors._WaitTimeout:  # pyright: ignore[reportPrivateUsage]
        raise CommandTimeout("the server did not answer the COMMIT in time") from None
    finally:
        if not isinstance(conn, AsyncStoreConnection):
            conn.remove_notice_handler(notices.take)
    if result.status != ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(result, encoding="utf-8")
    if notices.is_unreplicated:
        raise NotReplicated(_NOT_REPLICATED)
    status = result.command_status
    return None if status is None else status.decode()


_NOT_REPLICATED = (
    "the server has committed, but the wait for its synchronous standby was ended by somebody"
)


@asynccontextmanager
async def watching_commits(conn: AsyncConnection[Any]) -> AsyncGenerator[None]:
    """See that what is committed in the block is also where commits are to be replicated to.

    Raises:
        NotReplicated: it is committed, and somebody has ended its wait for a standby.
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
    """See that the last commit did not end before a standby had it.

    Raises:
        NotReplicated: it did.
    """
    if notices.is_unreplicated:
        notices.is_unreplicated = False
        raise NotReplicated(_NOT_REPLICATED)


def is_clean(conn: AsyncConnection[Any]) -> bool:
    """Whether a connection can serve another operation.

    A task that is cancelled while it enters a pipeline leaves the mode on, which the pool does not
    look at.
    """
    pgconn = conn.pgconn
    return (
        pgconn.transaction_status == TransactionStatus.IDLE
        and pgconn.pipeline_status == PipelineStatus.OFF
        and conn._pipeline is None  # pyright: ignore[reportPrivateUsage]
    )


async def execute(cursor: AsyncStoreCursor, statement: Statement) -> list[TupleRow]:
    """Execute one statement and give all of its rows, in binary."""
    text, params = statement
    await cursor.execute(text, params, binary=True, prepare=cursor.prepares or None)
    return await cursor.fetchall()

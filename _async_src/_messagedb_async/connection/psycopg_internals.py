"""Waits for the server that use private names of psycopg: a pipeline and a COMMIT."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import AsyncPipeline, waiting
from psycopg.pq import ConnStatus

from messagedb._connection.psycopg_internals import (
    current_pipeline,
    execute_query,
    execute_together,
    is_synchronized,
    send_queued,
    set_pipeline,
)

from .interruptions import abort_operation, is_interruption

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from psycopg import AsyncConnection
    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGresult
    from psycopg.rows import TupleRow

    from messagedb._sql.statements import Statement

# Interval of psycopg's wait, in seconds.
_WAIT_SECONDS = 0.1


class AsyncStorePipeline(AsyncPipeline):
    """psycopg's pipeline, but the Sync that ends it is the last message that it sends.

    psycopg sends a Flush after it. A transaction pooler that reads the Flush only after it has
    taken the server's connection back assigns this client another one, and never takes it back.

    And it does not warn, for an expected error, of the statements that were sent with it.

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
        """Wait for the responses to the sent statements."""
        if exc_val is not None and is_interruption(exc_val):
            abort_operation(self._conn)
        self.is_ending = True
        problem = exc_val
        try:
            # The server may be at work on a commit: then the connection is not changed.
            if not getattr(self._conn, "is_waiting", False):
                async with self._conn.lock:
                    await self._conn.wait(self._exit_gen())
        except psycopg.Error as error:
            if exc_val is None:
                problem = error
                raise error.with_traceback(None)  # noqa: B904 (as psycopg raises it)
        except BaseException as error:
            problem = error
            if is_interruption(error):
                abort_operation(self._conn)
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
        # A second interruption has closed the connection, without waiting.
        if self.result_queue and self.pgconn.status == ConnStatus.OK:
            yield from send_queued(self.pgconn)
            yield from self._fetch_gen(flush=False)


@asynccontextmanager
async def pipeline(conn: AsyncConnection[Any]) -> AsyncGenerator[AsyncPipeline]:
    """Enter a pipeline of ours, or use the one that the caller of a bound connection is in.

    A task that is cancelled while psycopg enters a pipeline would leave the connection in it.
    """
    if current_pipeline(conn) is not None:
        async with conn.pipeline() as given:
            yield given
        return
    set_pipeline(conn, AsyncStorePipeline(conn))
    try:
        async with conn.pipeline() as ours:
            yield ours
    finally:
        if current_pipeline(conn) is not None:
            set_pipeline(conn, None)
            # Nothing was sent yet: unless the connection is dead, this does not fail.
            with suppress(psycopg.OperationalError):
                conn.pgconn.exit_pipeline_mode()


async def synchronize(conn: AsyncConnection[Any]) -> None:
    """Wait for the responses to all statements of the pipeline that a connection is in.

    Raises:
        psycopg.Error: the first of them that failed.
    """
    given = current_pipeline(conn)
    if given is not None and not is_synchronized(conn):
        await given.sync()


async def execute_in_one_round_trip(cursor: Any, *statements: Statement) -> list[TupleRow]:
    """Execute statements in one round trip, and return the rows of the last one, in binary.

    It takes less than half of the CPU time of a pipeline of psycopg. If one fails, those after it
    are not executed.

    Args:
        cursor: a cursor of ours, of a connection in no pipeline.
        statements: the statements.
    """
    conn: AsyncConnection[Any] = cursor.connection
    async with conn.lock:
        return await conn.wait(execute_together(cursor, statements, cursor.is_preparing or None))


async def execute_uncancelled(
    conn: AsyncConnection[Any], command: bytes, deadline: float
) -> PGresult:
    """Execute a command that is never cancelled on the server, also when the task is cancelled.

    Args:
        conn: a connection in no pipeline.
        command: SQL commands without parameters, which are sent in one message.
        deadline: how long to wait, by the clock of ``time.monotonic``. The connection is then not
            changed: the server may still be at work.

    Raises:
        WaitTimeout: no response came in time.
        psycopg.Error: the connection was lost.
    """
    result: PGresult
    pgconn = conn.pgconn
    async with conn.lock:
        pgconn.send_query(command)
        (*_, result) = await waiting.wait_async(
            execute_query(pgconn),
            pgconn.socket,
            interval=_WAIT_SECONDS,
            timeout=max(deadline - monotonic(), 0.0),
        )
    return result

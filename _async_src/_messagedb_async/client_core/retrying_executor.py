"""Runs requests on the connections of a client's pool, and again if one was lost."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from messagedb._concurrency.backend_async import sleep
from messagedb._connection.error_mapping import (
    NOTHING_CHANGED,
    get_first_line,
    is_caused_by_others,
    is_connection_lost,
    map_error,
)
from messagedb._connection.server_info import check_not_proxied
from messagedb._connection.settings import has_time_left
from messagedb._errors import MessageDBError, StoreUnavailableError
from messagedb._operations import write_results
from messagedb._transactions.retry import pause
from messagedb.errors import OutcomeUnknownError

from ..connection.interruptions import abort_operation, is_interruption
from ..execution.node_errors import find_node_error
from ..transactions.state import AsyncTransactionState

if TYPE_CHECKING:
    from messagedb._concurrency.callables import AsyncUnaryFunction
    from messagedb._operations import requests
    from messagedb._transactions.options import TransactionOptions

    from ..execution.executors import AsyncPoolExecutor
    from .lifecycle import AsyncLifecycle

R = TypeVar("R")


class AsyncRetryingExecutor:
    """Runs each request on any connection of a client's pool, and again if that was lost."""

    def __init__(self, lifecycle: AsyncLifecycle) -> None:
        self._lifecycle = lifecycle
        self._operation_seconds = lifecycle.session_config.operation_seconds
        self._settings = lifecycle.settings

    async def read(self, read: requests.ReadRequest) -> list[tuple[Any, ...]]:
        """Return the rows of a read."""

        async def attempt(executor: AsyncPoolExecutor) -> list[tuple[Any, ...]]:
            return await executor.read(read)

        return await self._retry_read(read, attempt)

    async def read_in_history(
        self, *reads: requests.ReadRequest
    ) -> tuple[list[list[tuple[Any, ...]]], int]:
        """Return the rows of reads on one connection, and the number of its server's history."""

        async def attempt(executor: AsyncPoolExecutor) -> tuple[list[list[tuple[Any, ...]]], int]:
            return await executor.read_in_history(reads)

        return await self._retry_read(reads[-1], attempt)

    async def _retry_read(
        self, read: requests.ReadRequest, attempt: AsyncUnaryFunction[AsyncPoolExecutor, R]
    ) -> R:
        """Read on a connection of the pool, and retry on another one if that was lost."""
        provider = self._lifecycle.provider or await self._lifecycle.ensure_open()
        deadline = monotonic() + self._operation_seconds
        attempts = self._settings.max_size + 1
        rollbacks = 0
        while True:
            executor = await provider.acquire(deadline)
            try:
                return await attempt(executor)
            except psycopg.Error as cause:
                failure = await find_node_error(executor, cause, _get_name(read))
                if is_caused_by_others(failure) and has_time_left(deadline):
                    rollbacks += 1
                else:
                    rollbacks, attempts = 0, attempts - 1
                    if not (
                        attempts
                        and is_connection_lost(failure, executor.connection.closed)
                        and has_time_left(deadline)
                    ):
                        has_condition = read.has_condition or read.has_user_sql
                        raise map_error(
                            failure, NOTHING_CHANGED, has_condition=has_condition
                        ) from cause
            except BaseException as error:
                if is_interruption(error):
                    abort_operation(executor.connection)
                raise
            finally:
                await provider.release(executor)
            if rollbacks:
                await sleep(pause(rollbacks))

    async def write(
        self,
        write: requests.WriteRequest,
        deadline: float | None = None,
        lost_error: psycopg.Error | None = None,
    ) -> list[int]:
        """Write all messages of a write or none, and return their positions.

        Args:
            write: the write.
            deadline: when it must have ended; None for a write that begins now.
            lost_error: the reason why an earlier attempt got no response; None for the first one.

        Raises:
            OutcomeUnknownError: sent, and no response came, also when sent again.
            MessageDBError: as the operations raise. Nothing was written.
        """
        provider = self._lifecycle.provider or await self._lifecycle.ensure_open()
        deadline = monotonic() + self._operation_seconds if deadline is None else deadline
        attempts = self._settings.max_size + 1
        rollbacks = 0
        while True:
            try:
                executor = await provider.acquire(deadline)
            except StoreUnavailableError as error:
                if lost_error is None:
                    raise
                raise _outcome_unknown_error(write, lost_error) from error
            executor.expect_commit()
            try:
                return await executor.write(write)
            except psycopg.Error as cause:
                failure = await find_node_error(executor, cause, write.stream_name)
                if is_connection_lost(failure, executor.connection.closed):
                    rollbacks, attempts = 0, attempts - 1
                    lost_error = failure
                    if not (attempts and has_time_left(deadline)):
                        raise _outcome_unknown_error(write, lost_error) from cause
                elif is_caused_by_others(failure) and has_time_left(deadline):
                    rollbacks += 1
                else:
                    executor.note_refusal(failure)
                    refusal = write_results.refused_write_error(
                        write, failure, self._settings.command_timeout
                    )
                    if lost_error is None or write_results.is_conclusive(write, refusal):
                        raise refusal from cause
                    raise _outcome_unknown_error(write, lost_error) from cause
            except MessageDBError as error:
                if lost_error is None or write_results.is_conclusive(write, error):
                    raise
                raise _outcome_unknown_error(write, lost_error) from error
            except BaseException as error:
                if is_interruption(error):
                    abort_operation(executor.connection)
                raise
            finally:
                await provider.release(executor)
            if rollbacks:
                await sleep(pause(rollbacks))

    async def begin(self, options: TransactionOptions) -> AsyncTransactionState:
        """Begin a transaction on a connection that is reserved for it."""
        provider = self._lifecycle.provider or await self._lifecycle.ensure_open()
        if not options.is_local or options.locks:
            check_not_proxied(provider.dialect.server, "a transaction")
        deadline = monotonic() + self._operation_seconds
        attempts = self._settings.max_size + 1
        while True:
            executor = await provider.acquire_joined(deadline)
            state = AsyncTransactionState(provider, executor, options)
            try:
                await state.begin()
            except psycopg.Error as error:
                attempts -= 1
                lost_error = is_connection_lost(
                    error, state.conn.closed
                ) and not state.is_out_of_time(error)
                if not (attempts and lost_error and has_time_left(deadline)):
                    raise state.map_error(error, _NOTHING_BEGUN_TEXT) from error
            except OSError as error:
                if error.errno is None:
                    # Raised by an application: the operating system's have a number.
                    raise
                raise StoreUnavailableError(
                    f"the transaction's time cannot be watched: {error}. Nothing was sent."
                ) from error
            else:
                return state


def _get_name(read: requests.ReadRequest) -> object:
    """Return the stream or category of a read, which its call has first if it has one."""
    return read.call.params[0] if read.call.params else None


_NOTHING_BEGUN_TEXT = "Nothing was done in the transaction; it is rolled back."


def _outcome_unknown_error(
    write: requests.WriteRequest, lost_error: psycopg.Error
) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        write.stream_name, write.messages, write.expected_version, get_first_line(lost_error)
    )

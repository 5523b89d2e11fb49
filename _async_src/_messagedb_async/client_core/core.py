"""Pooled operations, scans, subscriptions, transactions and bound clients in one object."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from itertools import chain
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import psycopg
from psycopg import AsyncConnection, IsolationLevel
from psycopg_pool import AsyncConnectionPool

from messagedb._concurrency.backend_async import TimedSemaphore, sleep
from messagedb._concurrency.callables import AsyncUnaryFunction
from messagedb._connection.pool_stats import PoolStats
from messagedb._connection.server_info import ServerInfo
from messagedb._connection.settings import Settings
from messagedb._operations.requests import ReadRequest, WriteRequest
from messagedb._transactions.options import TransactionOptions, add_read_models, build_options
from messagedb._transactions.retry import check_transaction_function, get_retry_delay
from messagedb._transactions.sqlalchemy_connections import (
    AsyncSQLAlchemyConnection,
    AsyncSQLAlchemySession,
    find_session,
)

from ..execution.connection_providers import AsyncConnectionProvider
from ..subscriptions.whole_store import AsyncWholeStore
from ..transactions.bound_client import AsyncBoundClient
from ..transactions.session_client import AsyncSessionBoundClient
from ..transactions.transaction import (
    AsyncInlineModel,
    AsyncTransaction,
    check_read_models,
    get_state,
)
from .grouping_executor import AsyncGroupingExecutor
from .lifecycle import AsyncLifecycle
from .retrying_executor import AsyncRetryingExecutor

R = TypeVar("R")


class AsyncClientCore(AsyncWholeStore):
    """Base class of the client. Consumers, entities and read models depend on it.

    Example::

        async def count(client: AsyncClientCore, category: str) -> int:
            return len([message async for message in client.read_category(category)])
    """

    def __init__(self, settings: Settings, pool: AsyncConnectionPool[Any] | None) -> None:
        # First, because the report of an error that is raised here may show its repr.
        self._lifecycle = AsyncLifecycle(settings, pool)
        self._lifecycle.validate_pool()
        self._session_config = self._lifecycle.session_config
        self._executor = AsyncRetryingExecutor(self._lifecycle)
        self._groups = (
            AsyncGroupingExecutor(self._lifecycle, self._executor)
            if settings.group_commit
            else None
        )

    def __repr__(self) -> str:
        """Return the server's address, never a password."""
        return f"<{type(self).__name__} {self._lifecycle.describe()}>"

    async def __aenter__(self) -> Self:
        """Open the client."""
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self.close()

    async def open(self) -> None:
        """Connect, inspect the server, and open the pool. Do nothing if the client is open.

        Example::

            client = AsyncClient("postgresql://message_store@localhost/message_store")
            await client.open()  # fails now, and not at the first request

        Raises:
            StoreUnavailableError: the server could not be reached, or the client is closed. Nothing
                was sent.
            IncompatibleServerError: there is no Message DB, or one that cannot be used; the text
                names the fix.
            ValidationError: the registry lacks upcasters: see its ``check``; or the client cannot
                be used from here, for the reason in the text. Nothing was sent.
        """
        await self._lifecycle.ensure_open()

    async def close(self) -> None:
        """Close the pool, and release an embedded server. Do nothing if the client is closed.

        Running operations end first or fail; a borrowed pool stays open. A closed client cannot be
        opened again.

        Example::

            await client.close()
        """
        if self._groups is not None:
            await self._groups.close()
        await self._lifecycle.close()

    def pool_stats(self) -> PoolStats:
        """Return the state of the pool at this moment, and totals since it was opened.

        Nothing is sent to the server. With a borrowed pool they are those of that pool, with
        everything else that uses it.

        Example::

            stats = client.pool_stats()
            print(stats.pool_size, stats.requests_waiting)
        """
        stats = self._lifecycle.pool_stats()
        return stats if self._groups is None else self._groups.add_counts(stats)

    async def connect(self) -> AsyncConnection[Any]:
        """Open a separate connection: configured like those of the pool, but not one of them.

        Use it for work that outlives an operation, such as LISTEN or a lock of a session. Close it
        yourself. Only the server's time limits apply to it.

        Example::

            async with await client.connect() as conn:
                await conn.execute("LISTEN orders")

        Raises:
            StoreUnavailableError: the connection could not be opened. Nothing was sent.
        """
        return await (await self._lifecycle.ensure_open()).connect()

    async def _read(self, read: ReadRequest) -> list[tuple[Any, ...]]:
        return await self._executor.read(read)

    async def _read_in_history(
        self, *reads: ReadRequest
    ) -> tuple[list[list[tuple[Any, ...]]], int]:
        return await self._executor.read_in_history(*reads)

    async def _write(self, write: WriteRequest) -> list[int]:
        if self._groups is not None:
            return await self._groups.write(write)
        return await self._executor.write(write)

    async def _get_server(self) -> ServerInfo:
        return (await self._lifecycle.ensure_open()).dialect.server

    def bind(
        self,
        conn: AsyncConnection[Any] | AsyncSQLAlchemySession | AsyncSQLAlchemyConnection,
    ) -> AsyncBoundClient:
        """Return the operations on a connection of yours, in your transaction.

        Of SQLAlchemy 2 and SQLModel it takes a session or a connection whose driver is psycopg
        (``postgresql+psycopg://``). Its transaction begins with the first operation, if it has not,
        and is yours to commit. A write flushes a session first, if it has autoflush. Errors of
        SQLAlchemy are raised unchanged.

        The client need not be open. Of its options the schema, ``direct_writes``,
        ``default_batch_size``, ``decimals``, ``registry`` and ``hooks`` apply.

        Example::

            async with await psycopg.AsyncConnection.connect("dbname=shop") as conn:
                await conn.execute("INSERT INTO orders VALUES (1)")
                await client.bind(conn).write_message("order-1", NewMessage("Placed"))

        Args:
            conn: an open connection to any Message DB, or a session of one. It is not closed,
                committed or changed.

        Raises:
            ValidationError: not a connection of this variant, or one of another driver. Nothing was
                sent.
        """
        known, lent = self._lifecycle.server_info_cache, cast("object", conn)
        if isinstance(lent, AsyncConnection):
            return AsyncBoundClient(self._session_config, known, cast("Any", lent))
        session = find_session(lent, AsyncConnection)
        return AsyncSessionBoundClient(self._session_config, known, session)

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation: IsolationLevel | None = None,
        read_only: bool = False,
        timeout: float = 30.0,
        categories: Iterable[str] = (),
        read_models: Iterable[AsyncInlineModel] = (),
    ) -> AsyncGenerator[AsyncTransaction]:
        """Run a block in a transaction: committed at its end, rolled back when it raises.

        It uses one connection of the pool. Its operations are those of the client. Operations of
        the client itself, called in the block, are not part of it; a write to a category that the
        transaction has written to would wait for the transaction, until a timeout.

        Example::

            async with client.transaction(categories=["account", "transfer"]) as tx:
                await tx.write_message("account-1", NewMessage("Withdrawn", {"amount": 5}))
                await tx.write_message("transfer-9", NewMessage("Completed"))
                await tx.connection.execute("UPDATE balance SET amount = amount - 5 WHERE id = 1")

        Args:
            isolation: None for READ COMMITTED, the only level in which messages can be written; the
                others are for reads.
            read_only: let PostgreSQL refuse every write.
            timeout: seconds from its BEGIN to its end. Then the transaction is rolled back and its
                locks are released, whatever the block is doing. The block itself is not
                interrupted: the next use of the transaction raises, or its end.
            categories: acquire the locks of these categories when it begins. Transactions that name
                all categories that they write to cannot deadlock with each other. One that writes
                to several categories without naming them may, and then raises ``RetryableError``.
            read_models: inline read models, whose handlers are called right before the COMMIT with
                the messages of their category that they lack, in order, if the transaction has
                written to it. A model of several categories locks all of them when it begins.

        Raises:
            ReadModelError: one of `read_models` could not be updated. It is rolled back.
            TransactionAbortedError: a statement in the block had failed and its error did not leave
                the block. The transaction is rolled back.
            TransactionTimeoutError: its timeout has expired. It is rolled back.
            RetryableError: a deadlock or a serialization failure. It is rolled back.
            StoreUnavailableError: no connection was available (``PoolTimeoutError``), or it was
                lost, or a lock was not free within ``command_timeout``. It is rolled back.
            OutcomeUnknownError: the response to the COMMIT was lost, and the server could not
                report the outcome. All of it may be stored, now or a little later, or none.
            ServerError: the server refused to commit, as for a deferred constraint. It is rolled
                back.
        """
        options = build_options(isolation, read_only, timeout, categories)
        async with open_transaction(self, options, check_read_models(read_models)) as transaction:
            yield transaction

    async def begin(
        self,
        *,
        isolation: IsolationLevel | None = None,
        read_only: bool = False,
        timeout: float = 30.0,
        categories: Iterable[str] = (),
        read_models: Iterable[AsyncInlineModel] = (),
    ) -> AsyncTransaction:
        """Begin a transaction that you end yourself, with its ``commit()`` or ``rollback()``.

        Its connection is not in the pool until then, so call one of them in any case. The arguments
        and errors are those of ``transaction()``.

        Example::

            tx = await client.begin()
            try:
                await tx.write_message("account-1", Withdrawn(5))
                await tx.write_message("account-2", Deposited(5))
                await tx.commit()
            except BaseException:
                await tx.rollback()
                raise
        """
        options = build_options(isolation, read_only, timeout, categories)
        return await _begin(self, options, check_read_models(read_models))

    async def run_transaction(
        self,
        function: AsyncUnaryFunction[AsyncTransaction, R],
        *,
        max_attempts: int = 5,
        retry_version_conflicts: bool = False,
        isolation: IsolationLevel | None = None,
        read_only: bool = False,
        timeout: float = 30.0,
        categories: Iterable[str] = (),
        read_models: Iterable[AsyncInlineModel] = (),
    ) -> R:
        """Run a function in a transaction, and again after transient failures. Return its result.

        It runs again after a deadlock, a serialization failure or a lock timeout, also of its own
        statements on ``connection``. PostgreSQL has rolled everything back then, so other effects
        of the function must be safe to repeat. Between two attempts it waits for a random time of
        up to 20 ms, 40 ms and so on, at most 1 s.

        Example::

            async def move(tx: AsyncTransaction) -> None:
                await tx.write_message("account-1", Withdrawn(5))
                await tx.write_message("account-2", Deposited(5))

            await client.run_transaction(move, isolation=psycopg.IsolationLevel.SERIALIZABLE)

        Args:
            function: a coroutine function that takes the transaction.
            max_attempts: the maximum number of attempts.
            retry_version_conflicts: run it again after ``WrongExpectedVersionError``, too: for a
                function that reads the version that it expects.
            isolation: as in ``transaction()``.
            read_only: as in ``transaction()``.
            timeout: as in ``transaction()``, for each attempt.
            categories: as in ``transaction()``.
            read_models: as in ``transaction()``.

        Raises:
            RetryableError: the last attempt failed, too (psycopg's error if the function's own
                statement failed). All attempts are rolled back.
            MessageDBError: as ``transaction()`` raises it. The attempt is rolled back.
        """
        check_transaction_function(function, max_attempts)
        options = build_options(isolation, read_only, timeout, categories)
        models = check_read_models(read_models)
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self.transaction(
                    isolation=options.isolation,
                    read_only=read_only,
                    timeout=timeout,
                    categories=options.categories,
                    read_models=models,
                ) as transaction:
                    return await function(transaction)
            except Exception as error:
                delay = get_retry_delay(error, attempt, retry_version_conflicts)
                if delay is None or attempt >= max_attempts:
                    raise
            await sleep(delay)


async def get_provider(client: AsyncClientCore) -> AsyncConnectionProvider:
    """Return the open pool of a client; it opens first, unless it is open."""
    return await _get_lifecycle(client).ensure_open()


@asynccontextmanager
async def open_transaction(
    client: AsyncClientCore,
    options: TransactionOptions,
    read_models: tuple[AsyncInlineModel, ...] = (),
) -> AsyncGenerator[AsyncTransaction]:
    """Run a block in a transaction, as ``transaction()`` does, with other options, too."""
    transaction = await _begin(client, options, read_models)
    state = get_state(transaction)
    try:
        yield transaction
    except psycopg.Error as error:
        # An error of a user's statement may be the only sign that the connection is lost.
        is_late = state.is_out_of_time()
        await state.roll_back()
        if is_late:
            raise state.timeout_error() from error
        raise
    except BaseException:
        await state.roll_back()
        raise
    if state.outcome is None:
        await transaction.commit()


async def _begin(
    client: AsyncClientCore,
    options: TransactionOptions,
    read_models: tuple[AsyncInlineModel, ...],
) -> AsyncTransaction:
    if read_models:
        several = [model.categories for model in read_models if len(model.categories) > 1]
        options = add_read_models(options, chain.from_iterable(several))
    state = await AsyncRetryingExecutor(_get_lifecycle(client)).begin(options)
    return AsyncTransaction(state, read_models)


def get_background_slots(client: AsyncClientCore) -> TimedSemaphore:
    """Return the slots for queries of consumers outside their handlers."""
    return _get_lifecycle(client).background_slots


def _get_lifecycle(client: AsyncClientCore) -> AsyncLifecycle:
    return client._lifecycle  # pyright: ignore[reportPrivateUsage]

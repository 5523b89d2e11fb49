"""Pooled operations, scans, subscriptions, transactions and bound clients in one object."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import psycopg
from psycopg import AsyncConnection

from messagedb._concurrency.backend_async import sleep
from messagedb._errors import ValidationError
from messagedb._transactions.options import check_work, retry_delay, transaction_options

from ..subscriptions.subscribe import AsyncSubscriptions
from ..transactions.bound_client import AsyncBoundClient
from ..transactions.transaction import AsyncTransaction
from .lifecycle import AsyncLifecycle
from .pooled_executor import AsyncPooledExecutor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from types import TracebackType
    from typing import Self

    from psycopg import IsolationLevel
    from psycopg_pool import AsyncConnectionPool

    from messagedb._concurrency.backend_async import Places
    from messagedb._concurrency.callables import AsyncUnaryFunction
    from messagedb._connection.server_info import Server
    from messagedb._connection.settings import Settings
    from messagedb._operations.requests import Read, Write

R = TypeVar("R")


class AsyncClientCore(AsyncSubscriptions):
    """Base class of the client: what consumers, entities and read models are built on."""

    def __init__(self, settings: Settings, pool: AsyncConnectionPool[Any] | None) -> None:
        # First, as a report of an error that is raised here may show it.
        self._lifecycle = AsyncLifecycle(settings, pool)
        self._lifecycle.prepare()
        self._profile = self._lifecycle.profile
        self._executor = AsyncPooledExecutor(self._lifecycle)

    def __repr__(self) -> str:
        """Name the server, never a password."""
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
        """Connect, look at the server, and open the pool. Does nothing on an open client.

        Raises:
            StoreUnavailableError: the server could not be reached, or the client is closed. Nothing
                was sent.
            IncompatibleServerError: there is no Message DB, or one that cannot be used; the text
                names the cure.
            ValidationError: the registry lacks upcasters: see its ``check``; or the client cannot
                be used from here, and the text says why. Nothing was sent.
        """
        await self._lifecycle.ensure_open()

    async def close(self) -> None:
        """Close the pool, and release an embedded server. Does nothing on a closed client.

        Operations that are running end first or fail; a borrowed pool stays open. A closed client
        stays closed.
        """
        await self._lifecycle.close()

    async def connect(self) -> AsyncConnection[Any]:
        """Make a connection of its own: set up like those of the pool, not one of them.

        For what outlives an operation, such as LISTEN or a lock of a session. It is yours to close,
        and has no time limit but those of the server.

        Raises:
            StoreUnavailableError: it could not be made. Nothing was sent.
        """
        return await (await self._lifecycle.ensure_open()).connect()

    async def _read(self, read: Read) -> list[tuple[Any, ...]]:
        return await self._executor.read(read)

    async def _read_in_history(self, *reads: Read) -> tuple[list[list[tuple[Any, ...]]], int]:
        return await self._executor.read_in_history(*reads)

    async def _write(self, write: Write) -> list[int]:
        return await self._executor.write(write)

    async def _server_facts(self) -> Server:
        return (await self._lifecycle.ensure_open()).dialect.server

    @property
    def _upkeep(self) -> Places:
        return self._lifecycle.upkeep

    def bind(self, conn: AsyncConnection[Any]) -> AsyncBoundClient:
        """Give the operations on a psycopg connection of yours, in your transaction.

        The client need not be open; of its options the schema, ``direct_writes``,
        ``default_batch_size``, ``decimals``, ``registry`` and ``hooks`` count.

        Args:
            conn: an open connection to any Message DB. It is not closed, committed or changed.

        Raises:
            ValidationError: not a connection of this kind. Nothing was sent.
        """
        lent = cast("object", conn)
        if not isinstance(lent, AsyncConnection):
            wanted, given = AsyncConnection.__qualname__, type(lent).__name__
            raise ValidationError(
                f"bind() of this client takes a {wanted} of psycopg, not {given}: the other kind "
                "goes to the other kind of client. Nothing was sent."
            )
        return AsyncBoundClient(self._profile, self._lifecycle.server_info_cache, conn)

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation: IsolationLevel | None = None,
        read_only: bool = False,
        timeout: float = 30.0,
        categories: Iterable[str] = (),
    ) -> AsyncGenerator[AsyncTransaction]:
        """Run a block in a transaction: committed at its end, rolled back when it raises.

        One connection of the pool is kept for it. Its operations are those of the client; the
        client's own, called in the block, are not part of it, and a write to a category that the
        transaction has written would wait for it in vain.

        Example::

            async with client.transaction(categories=["account", "transfer"]) as tx:
                await tx.write_message("account-1", NewMessage("Withdrawn", {"amount": 5}))
                await tx.write_message("transfer-9", NewMessage("Completed"))
                await tx.connection.execute("UPDATE balance SET amount = amount - 5 WHERE id = 1")

        Args:
            isolation: None for READ COMMITTED, the only one in which messages can be written; the
                others are for reads.
            read_only: whether PostgreSQL is to refuse every write.
            timeout: seconds from its BEGIN to its end. Then the transaction is rolled back and its
                locks are free, whatever the block is doing; the block itself is not interrupted.
                Its next use of the transaction raises, or its end.
            categories: take the locks of these categories at once. Transactions that name all that
                they write cannot deadlock with each other; one that writes to several categories
                without naming them may, and then raises ``RetryableError``.

        Raises:
            TransactionAbortedError: a statement in the block had failed and its error was not
                passed on. The transaction is rolled back.
            TransactionTimeoutError: its time was up. It is rolled back.
            RetryableError: it met a deadlock, or could not be serialized. It is rolled back.
            StoreUnavailableError: no connection could be had (``PoolTimeoutError``), or it was
                lost, or a lock was not free within ``command_timeout``. It is rolled back.
            OutcomeUnknownError: the COMMIT was sent and not answered, and the server could not tell
                what became of it. All of it may be stored, or none, or all still come.
            ServerError: the server refused to commit, as for a deferred constraint. It is rolled
                back.
        """
        state = await self._executor.begin(
            transaction_options(isolation, read_only, timeout, categories)
        )
        try:
            yield AsyncTransaction(state)
        except psycopg.Error as error:
            # Of a statement of the user's: all that it says may be that the connection is gone.
            is_late = state.is_out_of_time()
            await state.roll_back()
            if is_late:
                raise state.timed_out() from error
            raise
        except BaseException:
            await state.roll_back()
            raise
        if state.outcome is None:
            await state.commit()

    async def begin(
        self,
        *,
        isolation: IsolationLevel | None = None,
        read_only: bool = False,
        timeout: float = 30.0,
        categories: Iterable[str] = (),
    ) -> AsyncTransaction:
        """Begin a transaction that you end yourself, with its ``commit()`` or ``rollback()``.

        Its connection is missing in the pool until then, so call one of them in any case. The
        arguments and errors are those of ``transaction()``.
        """
        options = transaction_options(isolation, read_only, timeout, categories)
        return AsyncTransaction(await self._executor.begin(options))

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
    ) -> R:
        """Run a function in a transaction, again when others made it fail, and give its result.

        It is run again after a deadlock, a serialization failure or a lock timeout, also of
        statements of its own on ``connection``: PostgreSQL has rolled everything back then, so what
        the function does elsewhere must bear being done again. Between two attempts it waits a
        random time of up to 20 ms, 40 ms and so on, at most 1 s.

        Args:
            function: a coroutine function that takes the transaction.
            max_attempts: how often it is run at most.
            retry_version_conflicts: whether it is run again after ``WrongExpectedVersionError``,
                too: for a function that reads the version that it expects.
            isolation: as in ``transaction()``.
            read_only: as in ``transaction()``.
            timeout: as in ``transaction()``, for each attempt.
            categories: as in ``transaction()``.

        Raises:
            RetryableError: the last attempt failed, too (psycopg's error if it was of a statement
                of the function's own). It is rolled back, as are those before.
            MessageDBError: as ``transaction()`` raises them. The attempt is rolled back.
        """
        check_work(function, max_attempts)
        options = transaction_options(isolation, read_only, timeout, categories)
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self.transaction(
                    isolation=options.isolation,
                    read_only=read_only,
                    timeout=timeout,
                    categories=options.categories,
                ) as transaction:
                    return await function(transaction)
            except Exception as error:
                delay = retry_delay(error, attempt, retry_version_conflicts)
                if delay is None or attempt >= max_attempts:
                    raise
            await sleep(delay)

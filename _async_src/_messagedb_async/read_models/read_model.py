"""Read models: a table that a consumer keeps, and a view that shows one version of it."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from messagedb._argument_checks import check_seconds
from messagedb._concurrency.backend_async import Event, Task
from messagedb._consumers.failure_texts import reason_of
from messagedb._consumers.position_stores import StreamPositionStore, TablePositionStore
from messagedb._errors import TransactionTimeoutError, ValidationError
from messagedb._read_models.naming import (
    build_comment,
    check_names,
    check_position_store,
    check_readers,
    check_version,
    substitute_table,
    validate_create,
)
from messagedb._subscriptions.availability import is_passing
from messagedb._subscriptions.backoff import RetryPolicy

from ..consumers.consumer import AsyncConsumer
from ..subscriptions.retry import retry_while_unavailable
from .tables import AsyncModelTables

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from typing import Self

    from messagedb._concurrency.callables import AsyncThunk, AsyncUnaryFunction
    from messagedb._consumers.callables import AsyncMiddleware, AsyncOnError
    from messagedb._read_models.naming import ReadModelVersion

    from ..client_core.core import AsyncClientCore
    from ..consumers.context import AsyncContext

R = TypeVar("R")

log = logging.getLogger("messagedb.read_model")

# Seconds that readers may wait in a swap for the last messages to be handled.
_LONGEST_CATCH_UP = 2.0


class AsyncReadModel:
    """A table made of the messages of a category, each of which counts once, and a view of it.

    Each version has a table of its own, ``balances_v1``, kept up by a consumer with a position of
    its own, in the transaction of each message. Readers query the view, ``balances``, which shows
    one version. To change columns or handlers, give the next number to ``version``: the new table
    is filled from the first message on beside the old one, which its own processes keep up
    meanwhile; then the view is swapped. Readers see a whole version at each moment, and after the
    swap nothing older than before it.

    It can be killed at any moment and run again. The role needs CREATE and USAGE on the schema, in
    the database of the store. Two connections of the client's pool are in use at once.

    Example::

        balances = AsyncReadModel(client, "account", name="balances", version=1,
            create="CREATE TABLE {table} (account text PRIMARY KEY, balance bigint NOT NULL)")

        @balances.handler
        async def deposited(event: Deposited, context: AsyncContext) -> None:
            await context.transaction.connection.execute(
                balances.sql("UPDATE {table} SET balance = balance + %s WHERE account = %s"),
                [event.amount, context.message.stream_name])

        await balances.run(signals=True)

    Attributes:
        handler: lets a coroutine function handle messages: a decorator, as that of the consumer.
            Write to this version's table there, with ``context.transaction.connection``, and never
            read the view.

    Args:
        client: where to read, and whose database has the tables.
        category: whose messages.
        name: the view's; of a-z, 0-9 and _. The tables are called after it.
        version: the number of what `create` and the handlers make.
        create: the statement that makes the table, or several, as for indexes. ``{table}`` stands
            for the table. An unlogged one is refused: a crash of the server would empty it, and
            leave its position.
        schema: where tables and view are; a name of the same kind. Where the database has several
            stores, each needs a name or a schema of its own.
        readers: roles that may read the view: it is granted to them when it is made, and to those
            that lack it when the model runs. They need USAGE on `schema`, too, which everybody has
            on ``public``.
        position_store: where positions are kept. None for ``TablePositionStore()``; the other kind
            needs no table ``messagedb.positions``, and adds a message to the store for each one
            that is handled.
        batch_size: as for the consumer, as are the following.
        poll_interval: seconds.
        idle_poll_interval: seconds.
        transaction_timeout: seconds for the transaction of a message.
        correlation: only messages of such workflows.
        condition: SQL, never made of input from outside.
        types: only messages of these types.
        retry: how often a failing handler is called again.
        on_error: what then. What is skipped or parked is missing in the table.
        middleware: functions around each call of a handler.
        notify: whether to be woken by notifications.
        lease_timeout: seconds without a sign of life after which another process may take over.

    Raises:
        ValidationError: an argument is refused. Nothing was sent.
    """

    def __init__(
        self,
        client: AsyncClientCore,
        category: str,
        *,
        name: str,
        version: int,
        create: str | Iterable[str],
        schema: str = "public",
        readers: Iterable[str] = (),
        position_store: StreamPositionStore | TablePositionStore | None = None,
        batch_size: int = 1000,
        poll_interval: float = 0.1,
        idle_poll_interval: float = 1.0,
        transaction_timeout: float = 30.0,
        correlation: str | None = None,
        condition: str | None = None,
        types: Iterable[str] | None = None,
        retry: RetryPolicy | None = None,
        on_error: AsyncOnError = "stop",
        middleware: Iterable[AsyncMiddleware[Any]] = (),
        notify: bool = False,
        lease_timeout: float | None = 10.0,
        on_lost_history: Literal["stop", "continue"] = "stop",
    ) -> None:
        settings = client._profile.settings  # pyright: ignore[reportPrivateUsage]
        self._names = names = check_names(schema, name, version, settings.schema)
        roles = check_readers(readers)
        store = TablePositionStore() if position_store is None else position_store
        self._mark = build_comment(names, version, check_position_store(store), category)
        self._texts = validate_create(create)
        self._consumer = AsyncConsumer(
            client,
            category,
            identifier=names.get_identifier(version),
            position_store=store,
            transactional=True,
            batch_size=batch_size,
            poll_interval=poll_interval,
            idle_poll_interval=idle_poll_interval,
            transaction_timeout=transaction_timeout,
            correlation=correlation,
            condition=condition,
            types=types,
            retry=retry,
            on_error=on_error,
            middleware=(self._fill, *middleware),
            notify=notify,
            lease_timeout=lease_timeout,
            on_lost_history=on_lost_history,
        )
        if settings.max_size < 2:
            raise ValidationError(
                "a read model needs two connections of the client at once: give it a max_size of 2 "
                "or more. Nothing was sent."
            )
        self.handler = self._consumer.handler
        self._tables = AsyncModelTables(client, names, roles)
        self._showing: _Showing | None = None

    def __repr__(self) -> str:
        """Name the table and the state."""
        return f"<{type(self).__name__} {self.table} ({self._consumer.status().state})>"

    @property
    def table(self) -> str:
        """The table of this version, in SQL: qualified and quoted."""
        return self._names.get_table(self._mark.version)

    @property
    def view(self) -> str:
        """The view that readers query, in SQL: qualified and quoted."""
        return self._names.view

    @property
    def consumer(self) -> AsyncConsumer:
        """What keeps the table up: ask it for its status, or wait for a message with it.

        Run it by the read model, which makes the table first.
        """
        return self._consumer

    def format_sql(self, text: str) -> bytes:
        """Give a statement for psycopg, with this version's table where it says ``{table}``."""
        return substitute_table(text, self.table)

    async def rebuild(
        self, *, allow_downgrade: bool = False, signals: bool = False, stop_timeout: float = 10.0
    ) -> bool:
        """Fill this version's table up to the head, and let the view show it.

        The table is made if it is not there. Killed at any moment and called again, it goes on
        where it was. Where the view shows this version already, it only catches up. Without a limit
        it waits for its place, which a running process of this version has; for the store; and for
        readers that hold the view in a transaction.

        Args:
            allow_downgrade: whether this version is shown in the place of a later one, too.
            signals: as for ``run()``.
            stop_timeout: seconds that a handler has to finish.

        Returns:
            Whether the view shows this version. False: it shows a later one, or `stop` came first.

        Raises:
            MessageDBError: as ``run()`` raises it.
        """
        return await self._go(_Showing(False, allow_downgrade, stop_timeout), signals)

    async def run(self, *, signals: bool = False, stop_timeout: float = 10.0) -> None:
        """Rebuild, and then keep the table up until it is stopped.

        Where the view shows a later version, as for an old process that is started again, this one
        is kept up and not shown.

        Args:
            signals: whether SIGINT and SIGTERM stop it; in the main thread only.
            stop_timeout: seconds that a handler has to finish then.

        Raises:
            HandlerError: a message could not be handled, and ``on_error`` says to stop. The table
                is as before the message.
            PositionConflictError: another consumer has stored a position for this version. What is
                stored stays.
            IncompatibleServerError: something on the server is missing, or the role lacks a right.
            ServerError: PostgreSQL refused `create`, or to drop the old view, as when a view of
                yours depends on it. Tables and view are as before.
            TimeoutError: a handler did not finish in time after a stop.
            ValidationError: it runs already, has no handler, or its table or view is not one that a
                read model has made. Nothing was changed.
        """
        await self._go(_Showing(True, False, stop_timeout), signals)

    @asynccontextmanager
    async def running(self, *, stop_timeout: float = 10.0) -> AsyncGenerator[Self]:
        """Run it in an asyncio task while a block runs, and stop it at the block's end.

        The table is there when the block begins.

        Args:
            stop_timeout: seconds that a handler has to finish then.

        Raises:
            MessageDBError: as ``run()`` raises it: at the end of the block, but for what was wrong
                with the table.
        """
        showing = self._begin(_Showing(True, False, stop_timeout))
        try:
            await self._create(showing)
            async with self._consumer.running(stop_timeout=stop_timeout):
                task = Task(self._show, showing)
                try:
                    yield self
                finally:
                    showing.end()
                    await task.end()
        finally:
            showing.end()
        if showing.failure is not None:
            raise showing.failure

    async def stop(self, *, timeout: float = 10.0) -> None:
        """Let the handler in hand finish, and end. Does nothing if it has ended.

        Args:
            timeout: seconds to wait.

        Raises:
            TimeoutError: the handler did not finish in time. Its message is handled again.
        """
        check_seconds("timeout", timeout)
        if self._showing is not None:
            self._showing.halt.set()
        await self._consumer.stop(timeout=timeout)

    async def list_versions(self) -> list[ReadModelVersion]:
        """List the versions whose tables are there, from the first on."""
        return (await self._tables.find()).list_versions()

    async def get_current_version(self) -> int | None:
        """Give the version that readers see; None if there is no view yet."""
        return (await self._tables.find()).current

    async def drop_version(self, version: int) -> bool:
        """Drop the table of a version that readers do not see, and set its position back.

        Args:
            version: which one; also one that this process does not know.

        Returns:
            Whether it was there.

        Raises:
            ValidationError: it is the current version, or the table is not one that a read model
                has made. Nothing was changed.
            PositionConflictError: a process keeps it up. Nothing was changed; stop that first.
            RetryableError: somebody reads the table. Nothing was changed; call it again.
            ServerError: something of yours depends on the table. Nothing was changed.
        """
        check_version(version)
        return await self._tables.drop(version)

    def _begin(self, showing: _Showing) -> _Showing:
        check_seconds("stop_timeout", showing.stop_timeout)
        if self._showing is not None and not self._showing.over.is_set():
            raise ValidationError(f"{self.table}: it runs already. Nothing was sent.")
        if not self._consumer._handlers:  # pyright: ignore[reportPrivateUsage]
            raise ValidationError(
                f"{self.table}: it has no handler, so that it would stay empty. Decorate one with "
                "the handler of the read model. Nothing was sent."
            )
        self._showing = showing
        return showing

    async def _go(self, showing: _Showing, signals: bool) -> bool:
        self._begin(showing)
        try:
            if not await self._create(showing):
                return False
            task = Task(self._show, showing)
            try:
                await self._consumer.run(signals=signals, stop_timeout=showing.stop_timeout)
            finally:
                showing.end()
                await task.end()
        finally:
            showing.end()
        if showing.failure is not None:
            raise showing.failure
        return showing.is_shown

    async def _fill(
        self, context: AsyncContext, call_next: AsyncUnaryFunction[AsyncContext, Any]
    ) -> Any:
        """Fill a table that nobody sees yet without waiting for the disk.

        What a crash of the server takes away then, it takes away with its position. The commit of
        the swap waits for the disk, and so for everything before it.
        """
        if self._showing is not None and not self._showing.is_shown:
            await context.transaction.connection.execute(b"SET LOCAL synchronous_commit TO off")
        return await call_next(context)

    async def _create(self, showing: _Showing) -> bool | None:
        return await self._retry_transient(
            showing, lambda: self._tables.create(self._mark, self._texts)
        )

    async def _show(self, showing: _Showing) -> None:
        """Show this version when it has caught up, beside the consumer; stop that if it is to."""
        consumer = self._consumer
        while consumer.status().state in ("stopped", "failed"):
            if await showing.over.wait(0.01):
                return
        try:
            is_shown = await self._retry_transient(
                showing, lambda: self._show_once(showing.go_back)
            )
            showing.is_shown = bool(is_shown)
            if is_shown is False:
                log.info("%s: the view shows a later version, and goes on to", self.table)
        except Exception as error:
            # What ended the consumer is told by its own run.
            if consumer.status().state not in ("stopping", "stopped", "failed"):
                showing.failure = error
        if showing.failure is not None or not showing.stays or showing.halt.is_set():
            try:
                await consumer.stop(timeout=showing.stop_timeout)
            except TimeoutError as error:
                log.warning("%s", error)

    async def _show_once(self, go_back: bool) -> bool:
        consumer = self._consumer
        await consumer.wait_until_caught_up()
        return await self._tables.show(
            self._mark, lambda: consumer.wait_until_caught_up(timeout=_LONGEST_CATCH_UP), go_back
        )

    async def _retry_transient(self, showing: _Showing, call: AsyncThunk[R]) -> R | None:
        """Call a function, again after transient errors; None if it is to stop."""

        async def pause(seconds: float) -> bool:
            return not await showing.halt.wait(seconds)

        def note_failure(error: Exception, seconds: float) -> None:
            if not showing.halt.is_set():
                log.warning("%s: again in %.1f s: %s", self.table, seconds, reason_of(error))

        if showing.halt.is_set():
            return None
        return await retry_while_unavailable(
            call, pause=pause, on_failure=note_failure, is_transient=_is_transient
        )


def _is_transient(error: Exception) -> bool:
    """Return True if the store was unavailable, or readers of the view were waited for."""
    return isinstance(error, TransactionTimeoutError | TimeoutError) or is_passing(error)


class _Showing:
    """One run of a read model: whether it is to end, and what came of the view."""

    def __init__(self, stays: bool, go_back: bool, stop_timeout: float) -> None:
        self.stays = stays
        self.go_back = go_back
        self.stop_timeout = stop_timeout
        self.is_shown = False
        self.failure: Exception | None = None
        # Nothing else is to be tried.
        self.halt = Event()
        # The consumer runs no more.
        self.over = Event()

    def end(self) -> None:
        """Take note that the consumer has ended."""
        self.halt.set()
        self.over.set()

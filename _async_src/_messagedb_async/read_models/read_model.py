"""Read models: a table that a consumer updates, and a view that shows one version of it."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar, Unpack

from messagedb._argument_checks import check_seconds
from messagedb._concurrency.backend_async import Task
from messagedb._concurrency.callables import AsyncThunk, AsyncUnaryFunction
from messagedb._consumers.callables import AsyncMiddleware
from messagedb._consumers.failure_texts import format_reason
from messagedb._consumers.position_stores import SharedPositionStore, TablePositionStore
from messagedb._consumers.settings import check_options
from messagedb._errors import TransactionTimeoutError, ValidationError
from messagedb._messages.annotations import Namespace
from messagedb._read_models.inline import check_inline
from messagedb._read_models.naming import (
    ReadModelVersion,
    build_comment,
    check_categories,
    check_names,
    check_position_store,
    check_readers,
    check_version,
    substitute_table,
    validate_create,
)
from messagedb._subscriptions.availability import is_transient_error

from ..client_core.core import AsyncClientCore
from ..consumers.all_consumer import AsyncAllConsumer
from ..consumers.consumer import AsyncConsumer
from ..consumers.context import AsyncBatchContext, AsyncContext
from ..consumers.handler_decorators import AsyncHandlerDecorators
from ..consumers.internals import add_handler, get_handlers, get_settings
from ..consumers.options import AsyncReadModelOptions
from ..consumers.runnable import AsyncRunnable
from ..operations.internals import get_session_config
from ..subscriptions.availability import retry_while_unavailable
from ..transactions.transaction import AsyncInlineModel, AsyncTransaction
from .inline_run import AsyncAppliedMessages, create_position
from .inline_update import AsyncInlineUpdate
from .model_consumer import build_consumer, check_order_over_categories
from .model_run import AsyncReadModelRun, Publication
from .tables import AsyncModelTables

T = TypeVar("T")

log = logging.getLogger("messagedb.read_model")

# Seconds that readers may wait in a swap until the last messages are handled.
_MAX_CATCH_UP_SECONDS = 2.0


class AsyncReadModel(AsyncHandlerDecorators, AsyncRunnable, AsyncInlineModel):
    """A table built from the messages of categories, each applied exactly once, and a view of it.

    Each version has a separate table, such as ``balances_v1``. A consumer with a separate position
    updates it, in the transaction of each message. Readers query the view, ``balances``, which
    shows one version. To change columns or handlers, give the next number to ``version``. The new
    table is filled from the first message on, while processes of the old version keep the old table
    up to date. Then the view is swapped. Readers see a complete version at each moment, and after
    the swap no older state than before it.

    Handlers write to this version's table, with ``context.transaction.connection``, and never read
    the view. A batch handler gets the messages of a page in one call, and is much faster.

    The process can be killed at any moment and run again. The role needs CREATE and USAGE on the
    schema, in the store's database. Two connections of the client's pool are used simultaneously.

    Example::

        balances = AsyncReadModel(client, "account", name="balances", version=1,
            create="CREATE TABLE {table} (account text PRIMARY KEY, balance bigint NOT NULL)")

        @balances.handler
        async def deposited(event: Deposited, context: AsyncContext) -> None:
            await context.transaction.connection.execute(
                balances.format_sql("UPDATE {table} SET balance = balance + %s WHERE account = %s"),
                [event.amount, context.message.stream_name])

        await balances.run(signals=True)

    Args:
        client: the client to read with; the tables are in its database.
        category: the category of the messages; None with `categories`.
        categories: instead of `category`, several of them. Their messages are applied in the order
            of their global positions, also if they are committed in another order, as
            ``AsyncAllConsumer`` does it: it needs the table of messages and the primary server, and
            a transaction that stays open after a write, in any category, blocks it for as long.
        name: the name of the view, from a-z, 0-9 and _. The names of the tables begin with it.
        version: the version of `create` and the handlers.
        create: the statement that creates the table, or several, as for indexes. ``{table}`` is
            replaced by the table's name. An unlogged table is refused: a crash of the server would
            empty it, and keep its position.
        schema: the schema of the tables and the view, from the same characters. If the database has
            several stores, each needs another name or schema.
        readers: roles that may read the view. SELECT is granted to them when the view is created,
            and to those that lack it when the model runs. They need USAGE on `schema`, too, which
            all roles have on ``public``.
        inline: let transactions update the table with what they write: see ``catch_up``, and
            ``read_models`` of ``client.transaction()``. A run of it beside them applies what others
            write.
        options: see ``AsyncReadModelOptions``. Skipped and parked messages are missing in the
            table. A ``StreamPositionStore`` needs no table ``messagedb.positions``, and adds a
            message to the store for each one that is handled.

    Raises:
        ValidationError: an argument is invalid. Nothing was sent.
        TypeError: an option is unknown. Nothing was sent.
    """

    def __init__(
        self,
        client: AsyncClientCore,
        category: str | None = None,
        *,
        categories: Iterable[str] | None = None,
        name: str,
        version: int,
        create: str | Iterable[str],
        schema: str = "public",
        readers: Iterable[str] = (),
        inline: bool = False,
        **options: Unpack[AsyncReadModelOptions],
    ) -> None:
        check_options(type(self).__name__, options, AsyncReadModelOptions.__optional_keys__)
        settings = get_session_config(client).settings
        self._names = names = check_names(schema, name, version, settings.schema)
        source = check_categories(category, categories)
        roles = check_readers(readers)
        store = options.get("position_store")
        if store is None:
            store = TablePositionStore()
        self._mark = build_comment(names, version, check_position_store(store), source)
        self._is_inline = check_inline(inline, options.get("on_error", "stop"), self._mark)
        middleware = tuple(options.get("middleware", ()))
        own: list[AsyncMiddleware[Any]] = [self._fill_without_sync]
        if inline:
            store = SharedPositionStore()
            name = names.get_position_name(self._mark)
            own.insert(0, AsyncAppliedMessages(names.store, name).leave_out)
        options["position_store"] = store
        options["middleware"] = (*own, *middleware)
        self._create_statements = validate_create(create)
        self._client = client
        self._consumer = build_consumer(
            client, source, names.get_identifier(version), options, is_inline=inline
        )
        self._update = AsyncInlineUpdate(
            names,
            self._mark,
            get_settings(self._consumer),
            lambda: get_handlers(self._consumer).build_dispatch(middleware),
        )
        if settings.max_size < 2:
            raise ValidationError(
                "a read model needs two connections of the client simultaneously. Nothing was sent."
                " Set max_size to 2 or more."
            )
        self._tables = AsyncModelTables(client, names, roles)
        self._publication: Publication | None = None
        # The last transaction that does not wait for the disk.
        self._filling: AsyncTransaction | None = None

    def __repr__(self) -> str:
        """Return the table and the state."""
        return f"<{type(self).__name__} {self.table} ({self._consumer.status().state})>"

    @property
    def table(self) -> str:
        """The table of this version, in SQL: qualified and quoted.

        Example::

            print(model.table)  # balances_v1
        """
        return self._names.get_table(self._mark.version)

    @property
    def view(self) -> str:
        """The view that readers query, in SQL: qualified and quoted.

        Example::

            print(model.view)  # balances
        """
        return self._names.view

    @property
    def is_inline(self) -> bool:
        """True if it was created with ``inline=True``.

        Example::

            if model.is_inline:
                print("it is updated by the transactions that write")
        """
        return self._is_inline

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories of its messages.

        Example::

            print(model.categories)
        """
        return self._mark.categories

    @property
    def identifier(self) -> str:
        """The consumer's identifier: the schema and the table, such as ``public.balances_v1``.

        Example::

            await client.wait_for_consumer(
                "account", model.identifier, stream_name="account-1", position=3
            )
        """
        return self._names.get_identifier(self._mark.version)

    @property
    def position_name(self) -> str:
        """The key of its position's row in the table, or the stream of its positions.

        Example::

            print(model.position_name)
        """
        return self._consumer.name

    @property
    def consumer(self) -> AsyncConsumer | AsyncAllConsumer:
        """The consumer that updates the table. Use it for its status, or to wait for a message.

        Do not run it directly: the read model runs it, after it has created the table.

        Example::

            print(model.consumer.status().lag_messages)
        """
        return self._consumer

    def _add_handler(
        self, function: Any, names: tuple[str, ...], around: Namespace, is_batch: bool
    ) -> None:
        add_handler(self._consumer, function, names, around, is_batch)

    def format_sql(self, text: str) -> bytes:
        """Return a statement for psycopg, with ``{table}`` replaced by this version's table.

        Example::

            async with client.transaction() as tx:
                sql = model.format_sql("DELETE FROM {table} WHERE balance = 0")
                await tx.connection.execute(sql)
        """
        return substitute_table(text, self.table)

    async def catch_up(self, transaction: AsyncTransaction) -> None:
        """Apply all messages that the table lacks in a transaction, those of it included.

        For an inline model: ``client.transaction(read_models=[…])`` calls it before the COMMIT.
        Call it yourself to read the table in the transaction, or in a transactional handler. The
        handlers are called in the order of the messages; each can only succeed. Until the end of
        the transaction the locks of the categories are held, as after a write, and the position.

        Example::

            async with client.transaction() as tx:
                await tx.write_message("account-1", Deposited(5))
                await model.catch_up(tx)  # an inline model has it now

        Args:
            transaction: a transaction of a client of the same store and variant.

        Raises:
            ReadModelError: a handler failed; or the table was not built by ``rebuild()``; or it
                lacks more than ``batch_size`` messages besides those of the transaction. The
                transaction is rolled back.
            ValidationError: the model is not inline, or the transaction cannot write. Nothing was
                sent.
            MessageDBError: as an operation of the transaction raises it. It is rolled back.
        """
        if not self._is_inline:
            raise ValidationError(
                f"{self.table} is updated by a run only: create it with inline=True. Nothing was "
                "sent."
            )
        await self._update.catch_up(transaction)

    async def rebuild(
        self, *, allow_downgrade: bool = False, signals: bool = False, stop_timeout: float = 10.0
    ) -> bool:
        """Fill this version's table up to the head, and let the view show it.

        The table is created if it does not exist. If the process is killed and this is called
        again, it continues from the stored position. If the view already shows this version, it
        only catches up. It waits without a limit: for its lease while another process of this
        version runs; for the store; and for readers that hold the view in a transaction.

        Example::

            await model.rebuild()  # until the new version is current

        Args:
            allow_downgrade: show this version even if the view shows a later one.
            signals: as for ``run()``.
            stop_timeout: seconds that a handler has to finish.

        Returns:
            True if the view shows this version. False if it shows a later one, or `stop` was called
            first.

        Raises:
            MessageDBError: as ``run()`` raises it.
        """
        return await self._run(Publication(False, allow_downgrade, stop_timeout), signals)

    async def run(self, *, signals: bool = False, stop_timeout: float = 10.0) -> None:
        """Rebuild, and then keep the table up to date until it is stopped.

        If the view shows a later version, as after a restart of an old process, this version is
        kept up to date but not shown.

        Example::

            await model.run(signals=True)  # until SIGTERM or Ctrl-C

        Args:
            signals: stop it on SIGINT and SIGTERM; in the main thread only.
            stop_timeout: seconds that a handler has to finish then.

        Raises:
            HandlerError: a message could not be handled, and ``on_error`` says to stop. The table
                is as before the message.
            PositionConflictError: another consumer has stored a position for this version. Stored
                changes are kept.
            IncompatibleServerError: something on the server is missing, or the role lacks a right.
            ServerError: PostgreSQL refused `create`, or to drop the old view, for example because
                another view depends on it. Tables and view are as before.
            TimeoutError: a handler did not finish in time after a stop.
            ValidationError: it is already running, has no handler, or its table or view was not
                made by a read model. Nothing was changed.
        """
        await self._run(Publication(True, False, stop_timeout), signals)

    @asynccontextmanager
    async def running(self, *, stop_timeout: float = 10.0) -> AsyncGenerator[Self]:
        """Run it in an asyncio task while a block runs, and stop it at the end of the block.

        The table exists when the block begins.

        Example::

            async with model.running():
                await client.write_message("account-1", Deposited(5))

        Args:
            stop_timeout: seconds that a handler has to finish then.

        Raises:
            MessageDBError: as ``run()`` raises it: at the end of the block, except for errors of
                the table's creation.
        """
        publication = self._start(Publication(True, False, stop_timeout))
        try:
            await self._create_table(publication)
            async with self._consumer.running(stop_timeout=stop_timeout):
                task = Task(self._publish_when_caught_up, publication)
                try:
                    yield self
                finally:
                    publication.end()
                    await task.stop()
        finally:
            publication.end()
        if publication.failure is not None:
            raise publication.failure

    async def stop(self, *, timeout: float = 10.0) -> None:
        """Let the current handler finish, and stop. Do nothing if it has stopped.

        Example::

            await model.stop()  # from another task

        Args:
            timeout: seconds to wait.

        Raises:
            TimeoutError: the handler did not finish in time. Its message is handled again.
        """
        check_seconds("timeout", timeout)
        if self._publication is not None:
            self._publication.stop_requested.set()
        await self._consumer.stop(timeout=timeout)

    async def list_versions(self) -> list[ReadModelVersion]:
        """List the versions whose tables exist, in order.

        Example::

            for each in await model.list_versions():
                print(each.version, each.table, each.is_current)
        """
        return (await self._tables.find()).list_versions()

    async def get_current_version(self) -> int | None:
        """Return the version that readers see; None if there is no view yet.

        Example::

            if await model.get_current_version() is None:
                await model.rebuild()
        """
        return (await self._tables.find()).current

    async def drop_version(self, version: int) -> bool:
        """Drop the table of a version that readers do not see, and reset its position.

        Example::

            await model.drop_version(1)

        Args:
            version: the version; it may be unknown to this process.

        Returns:
            True if it existed.

        Raises:
            ValidationError: it is the current version, or the table was not made by a read model.
                Nothing was changed.
            PositionConflictError: a running process updates it. Nothing was changed. Stop that
                process first.
            RetryableError: a session reads the table. Nothing was changed. Call this again.
            ServerError: an object of yours depends on the table. Nothing was changed.
        """
        check_version(version)
        return await self._tables.drop(version)

    def _start_run(self, until: Any) -> AsyncReadModelRun:
        """Return a run to be executed beside others: a rebuild if it is to end when caught up."""
        if until not in (None, "caught_up"):
            raise ValidationError(f"until must be 'caught_up' or omitted, not {until!r}")
        publication = self._start(Publication(until is None, False))
        return AsyncReadModelRun(
            self.table, self._consumer, publication, lambda: self._execute(publication, False)
        )

    def _start(self, publication: Publication) -> Publication:
        check_seconds("stop_timeout", publication.stop_timeout)
        if self._publication is not None and not self._publication.ended.is_set():
            raise ValidationError(f"{self.table}: it is already running. Nothing was sent.")
        if not get_handlers(self._consumer):
            raise ValidationError(
                f"{self.table}: it has no handler, so it would stay empty. Nothing was sent. "
                "Decorate a function with the read model's handler."
            )
        self._publication = publication
        return publication

    async def _run(self, publication: Publication, signals: bool) -> bool:
        return await self._execute(self._start(publication), signals)

    async def _execute(self, publication: Publication, signals: bool) -> bool:
        try:
            if not await self._create_table(publication):
                return False
            task = Task(self._publish_when_caught_up, publication)
            try:
                await self._consumer.run(signals=signals, stop_timeout=publication.stop_timeout)
            finally:
                publication.end()
                await task.stop()
        finally:
            publication.end()
        if publication.failure is not None:
            raise publication.failure
        return publication.is_published

    async def _fill_without_sync(
        self,
        context: AsyncContext | AsyncBatchContext,
        call_next: AsyncUnaryFunction[AsyncContext | AsyncBatchContext, Any],
    ) -> Any:
        """Fill a table that readers do not see yet without waiting for the disk.

        If a crash of the server loses a change, it loses its position, too. The commit of the swap
        waits for the disk, and so for all changes before it.
        """
        if self._publication is not None and not self._publication.is_published:
            transaction = context.transaction
            if transaction is not self._filling:  # once for all messages of a transaction
                await transaction.connection.execute(b"SET LOCAL synchronous_commit TO off")
                self._filling = transaction
        return await call_next(context)

    async def _create_table(self, publication: Publication) -> bool | None:
        return await self._retry_transient(publication, self._create_table_once)

    async def _create_table_once(self) -> bool:
        if len(self._mark.categories) > 1:
            await check_order_over_categories(self._client)
        is_there = await self._tables.create(self._mark, self._create_statements)
        if self._is_inline:
            await create_position(self._client, self._names.store, self.position_name)
        return is_there

    async def _publish_when_caught_up(self, publication: Publication) -> None:
        """Show this version when it has caught up, beside the consumer; then stop that if due."""
        consumer = self._consumer
        while consumer.status().state in ("stopped", "failed"):
            if await publication.ended.wait(0.01):
                return
        try:
            is_published = await self._retry_transient(
                publication, lambda: self._publish_once(publication.may_downgrade)
            )
            publication.is_published = bool(is_published)
            if is_published is False:
                log.info("%s: the view shows a later version, and still does", self.table)
        except Exception as error:
            # An error that ended the consumer is raised by the consumer's run.
            if consumer.status().state not in ("stopping", "stopped", "failed"):
                publication.failure = error
        if (
            publication.failure is not None
            or not publication.is_permanent
            or publication.stop_requested.is_set()
        ):
            try:
                await consumer.stop(timeout=publication.stop_timeout)
            except TimeoutError as error:
                log.warning("%s", error)

    async def _publish_once(self, may_downgrade: bool) -> bool:
        consumer = self._consumer
        await consumer.wait_until_caught_up()
        return await self._tables.publish(
            self._mark,
            lambda: consumer.wait_until_caught_up(timeout=_MAX_CATCH_UP_SECONDS),
            may_downgrade,
        )

    async def _retry_transient(self, publication: Publication, call: AsyncThunk[T]) -> T | None:
        """Call a function, and again after transient errors; None if it is to stop."""

        async def pause(seconds: float) -> bool:
            return not await publication.stop_requested.wait(seconds)

        def note_failure(error: Exception, seconds: float) -> None:
            if not publication.stop_requested.is_set():
                log.warning("%s: again in %.1f s: %s", self.table, seconds, format_reason(error))

        if publication.stop_requested.is_set():
            return None
        return await retry_while_unavailable(
            call, pause=pause, on_failure=note_failure, is_transient=_is_transient
        )


def _is_transient(error: Exception) -> bool:
    """Return True if the store was unavailable, or readers of the view were waited for."""
    return isinstance(error, TransactionTimeoutError | TimeoutError) or is_transient_error(error)

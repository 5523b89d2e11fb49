"""The application: consumers and read models that one process runs together."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Literal, Unpack

from messagedb._app.client_options import ClientOptions
from messagedb._app.members import Members, build_member_name
from messagedb._app.telemetry import Telemetry
from messagedb._consumers.settings import check_options
from messagedb._messages.registry import MessageRegistry
from messagedb.hooks import Hooks

from ..client import AsyncClient
from ..client_core.core import AsyncClientCore
from ..consumers.all_consumer import AsyncAllConsumer
from ..consumers.base import AsyncConsumerBase
from ..consumers.consumer import AsyncConsumer
from ..consumers.options import (
    AsyncAllConsumerOptions,
    AsyncConsumerOptions,
    AsyncReadModelOptions,
)
from ..consumers.run_consumers import run_consumers_async
from ..read_models.read_model import AsyncReadModel
from .declarations import AsyncAppConsumer, AsyncAppMember, AsyncAppReadModel
from .opened_app import AsyncOpenedApp


class AsyncApp:
    """Consumers and read models with one client, declared once and run by one command.

    The address of the store comes when the app runs, so one app serves tests and several
    environments. ``messagedb run module:app`` runs it, and so does ``run()``. Each run opens a
    client with the app's registry, hooks and telemetry, and creates the consumers and read models;
    a handler gets that client as ``context.client``.

    Example::

        app = AsyncApp()
        shipping = app.consumer("order", identifier="shipping")

        @shipping.handler
        async def paid(event: Paid, context: AsyncContext) -> None:
            await context.client.write_message(f"shipment-{event.order}", Requested(event.order))

        asyncio.run(app.run("postgresql://message_store@localhost/message_store"))

    Args:
        registry: the classes of messages, for its handlers and its client. None for a new, empty
            registry.
        hooks: hooks around the operations of its client, the outermost first.
        telemetry: a ``messagedb.telemetry.OpenTelemetry``: outermost around the operations and the
            handlers; it observes the pool and the consumers while the app runs.
        options: options of the client, see ``messagedb.app.ClientOptions``.

    Raises:
        ValidationError: an option is out of its range. Nothing was opened.
        TypeError: an option is unknown. Nothing was opened.
    """

    def __init__(
        self,
        *,
        registry: MessageRegistry | None = None,
        hooks: Iterable[Hooks] = (),
        telemetry: Telemetry | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        check_options(type(self).__name__, options, ClientOptions.__optional_keys__)
        self._registry = MessageRegistry() if registry is None else registry
        self._telemetry = telemetry
        self._hooks = tuple(hooks) if telemetry is None else (telemetry, *hooks)
        self._options = options
        self._members: Members[AsyncAppMember[Any]] = Members()
        # Never opened: it checks the options.
        self._model_client = self._build_client("")

    def __repr__(self) -> str:
        """Return the names of its consumers and read models."""
        return f"<{type(self).__name__} {', '.join(self.names)}>"

    @property
    def registry(self) -> MessageRegistry:
        """The classes of messages of its handlers and its client.

        Example::

            app = AsyncApp()

            @app.registry.add
            class Paid(msgspec.Struct):
                amount: int
        """
        return self._registry

    @property
    def names(self) -> list[str]:
        """The names of its consumers and read models, in the order of their declaration.

        Example::

            print(app.names)
        """
        return [name for name, _ in self._members]

    def select_names(self, only: Iterable[str] | None = None) -> list[str]:
        """Return the names of the members that a run with this ``only`` runs.

        Example::

            print(app.select_names(["shipping"]))

        Raises:
            ValidationError: there are none, or the app has none of such a name.
        """
        return list(self._members.select(only))

    def consumer(
        self,
        category: str,
        *,
        identifier: str | None = None,
        name: str | None = None,
        **options: Unpack[AsyncConsumerOptions],
    ) -> AsyncAppConsumer:
        """Declare a consumer of a category.

        Example::

            app = AsyncApp()
            shipping = app.consumer("order", identifier="shipping")

            @shipping.handler
            async def ship(message: Message, context: AsyncContext) -> None:
                print(message.stream_name, message.type)

        Args:
            category: the category to read.
            identifier: names the consumer among those of the category.
            name: its name in the app. Default: the identifier, or else the category.
            options: see ``AsyncConsumerOptions``.

        Returns:
            The declared consumer, for its handlers.

        Raises:
            ValidationError: an option is out of its range, or the app has a consumer of this
                identity or name. Nothing was sent.
            TypeError: an option is unknown. Nothing was sent.
        """
        own_name = build_member_name(name, identifier, category)
        self._add_telemetry(options)
        return self._add_consumer(
            own_name,
            lambda client: AsyncConsumer(client, category, identifier=identifier, **options),
        )

    def all_consumer(
        self,
        categories: Iterable[str] | None = None,
        *,
        identifier: str,
        name: str | None = None,
        **options: Unpack[AsyncAllConsumerOptions],
    ) -> AsyncAppConsumer:
        """Declare a consumer of several categories, or of the whole store.

        Example::

            audit = app.all_consumer(["order", "payment"], identifier="audit")

            @audit.handler
            async def record(message: Message, context: AsyncContext) -> None:
                print(message.global_position, message.type)

        Args:
            categories: the categories to read; None for the whole store.
            identifier: names the consumer.
            name: its name in the app. Default: the identifier.
            options: see ``AsyncAllConsumerOptions``.

        Returns:
            The declared consumer, for its handlers.

        Raises:
            ValidationError: as for ``consumer()``. Nothing was sent.
            TypeError: an option is unknown. Nothing was sent.
        """
        own_name = build_member_name(name, identifier, None)
        # A string is refused by the consumer; an iterator would be empty the second time.
        wanted = categories if isinstance(categories, str | None) else tuple(categories)
        self._add_telemetry(options)
        return self._add_consumer(
            own_name,
            lambda client: AsyncAllConsumer(client, wanted, identifier=identifier, **options),
        )

    def read_model(
        self,
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
    ) -> AsyncAppReadModel:
        """Declare a read model.

        Example::

            create = "CREATE TABLE {table} (account text PRIMARY KEY, balance int)"
            balances = app.read_model("account", name="balances", version=1, create=create)

            @balances.handler
            async def deposited(event: Deposited, context: AsyncContext) -> None:
                sql = balances.format_sql("UPDATE {table} SET balance = balance + %s")
                await context.transaction.connection.execute(sql, [event.amount])

        Args:
            category: the category of the messages; None with `categories`.
            categories: instead of `category`, several of them.
            name: the name of the view, and of the read model in the app.
            version: the version of `create` and the handlers.
            create: the statement that creates the table, or several.
            schema: the schema of the tables and the view.
            readers: roles that may read the view.
            inline: let transactions update the table with what they write.
            options: see ``AsyncReadModelOptions``.

        Returns:
            The declared read model, for its handlers.

        Raises:
            ValidationError: an argument is invalid, or the app has a member of this name or
                identity. Nothing was sent.
            TypeError: an option is unknown. Nothing was sent.
        """
        self._add_telemetry(options)
        statements = create if isinstance(create, str) else tuple(create)
        roles = tuple(readers)
        # A string is refused by the read model; an iterator would be empty the second time.
        several = categories if isinstance(categories, str | None) else tuple(categories)
        member = AsyncAppReadModel(
            name,
            lambda client: AsyncReadModel(
                client,
                category,
                categories=several,
                name=name,
                version=version,
                create=statements,
                schema=schema,
                readers=roles,
                inline=inline,
                **options,
            ),
            self._model_client,
        )
        self._members.add(name, member.position_name, member)
        return member

    async def run(
        self,
        url: str = "",
        *,
        only: Iterable[str] | None = None,
        until: Literal["caught_up"] | None = None,
        signals: bool = True,
        stop_timeout: float = 10.0,
    ) -> None:
        """Run its consumers and read models until one fails or all are stopped.

        While the store is unavailable they wait and retry.

        Example::

            await app.run("postgresql://message_store@localhost/message_store")

        Args:
            url: a libpq connection string or URL of the store, or ``embedded:``; empty for libpq's
                environment.
            only: the names of those to run; None for all.
            until: ``"caught_up"`` to return when each has handled all messages that were there at
                its start; read models are rebuilt.
            signals: whether SIGINT and SIGTERM stop all of them; a second one ends the process
                immediately. In the main thread only.
            stop_timeout: seconds that handlers have to finish after a stop.

        Raises:
            MessageDBError: that of the first that failed, as its ``run()`` raises it. Errors of
                others are logged.
            TimeoutError: a handler did not finish in time after a stop.
            ValidationError: there is nothing to run, one of them has no handler, or an argument is
                invalid. None of them was started.
        """
        async with self.open(url, only=only) as opened:
            await run_consumers_async(
                *opened.list_members(), until=until, signals=signals, stop_timeout=stop_timeout
            )

    @asynccontextmanager
    async def open(
        self, url: str = "", *, only: Iterable[str] | None = None
    ) -> AsyncGenerator[AsyncOpenedApp]:
        """Create a client, the consumers and the read models for a block, and close the client.

        Nothing is sent before the client is used.

        Example::

            async with app.open("embedded:") as opened:
                await opened.client.write_message("order-1", NewMessage("Placed"))
                await opened.run_until_quiet()

        Args:
            url: as for ``run()``.
            only: as for ``run()``.

        Raises:
            ValidationError: there is nothing to run, or an argument is invalid. Nothing was sent.
        """
        members = self._members.select(only)
        client = self._build_client(url)
        try:
            opened = AsyncOpenedApp(
                client, {name: member.open_for(client) for name, member in members.items()}
            )
            if self._telemetry is None:
                yield opened
                return
            self._telemetry.observe_pool(client)
            self._telemetry.observe(*opened.list_consumers())
            try:
                yield opened
            finally:
                self._telemetry.stop_observing(client, *opened.list_consumers())
        finally:
            await client.close()

    @asynccontextmanager
    async def running(
        self, url: str = "", *, only: Iterable[str] | None = None, stop_timeout: float = 10.0
    ) -> AsyncGenerator[AsyncOpenedApp]:
        """Run it in an asyncio task during a block, and stop it at the block's end.

        Example::

            async with app.running("embedded:") as opened:
                await opened.client.write_message("order-1", NewMessage("Placed"))

        Args:
            url: as for ``run()``.
            only: as for ``run()``.
            stop_timeout: seconds that handlers have to finish then.

        Raises:
            MessageDBError: as ``run()`` raises it: at the end of the block.
            TimeoutError: a handler did not finish in time.
            ValidationError: as for ``run()``, at the beginning of the block.
        """
        async with self.open(url, only=only) as opened, opened.running(stop_timeout=stop_timeout):
            yield opened

    def _build_client(self, url: str) -> AsyncClient:
        return AsyncClient(url, registry=self._registry, hooks=self._hooks, **self._options)

    def _add_consumer(
        self, name: str, build: Callable[[AsyncClientCore], AsyncConsumerBase]
    ) -> AsyncAppConsumer:
        member = AsyncAppConsumer(name, build, self._model_client)
        self._members.add(member.name, member.position_name, member)
        return member

    def _add_telemetry(
        self, options: AsyncConsumerOptions | AsyncAllConsumerOptions | AsyncReadModelOptions
    ) -> None:
        if self._telemetry is not None:
            inner = options.get("middleware", ())
            options["middleware"] = (self._telemetry.middleware_async, *inner)

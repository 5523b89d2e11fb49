"""Consumers and read models of an app, before there is a client."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from messagedb._messages.annotations import Namespace

from ..client_core.core import AsyncClientCore
from ..consumers.base import AsyncConsumerBase
from ..consumers.handler_decorators import AsyncHandlerDecorators
from ..read_models.read_model import AsyncReadModel
from ..transactions.transaction import AsyncInlineModel, AsyncTransaction

R = TypeVar("R", bound=AsyncConsumerBase | AsyncReadModel)


class AsyncAppMember(AsyncHandlerDecorators, Generic[R]):
    """A declared consumer or read model of an app, with its handlers.

    Attributes:
        name: its name in the app, by which ``only`` selects it.
    """

    def __init__(
        self, name: str, build: Callable[[AsyncClientCore], R], client: AsyncClientCore
    ) -> None:
        self.name = name
        self._build = build
        # Never run: it checks the options, and the handlers where they are written.
        self._model = build(client)
        self._handlers: list[tuple[Any, tuple[str, ...], Namespace, bool]] = []

    def __repr__(self) -> str:
        """Return its name in the app."""
        return f"<{type(self).__name__} {self.name!r}>"

    @property
    @abstractmethod
    def position_name(self) -> str:
        """The stream of its positions, or the key of its row in the table."""

    def open_for(self, client: AsyncClientCore) -> R:
        """Return a new consumer or read model of a client, with the handlers declared so far.

        Example::

            shipping = app.consumer("order", identifier="shipping")
            await shipping.open_for(client).run(until="caught_up")
        """
        member = self._build(client)
        for handler in self._handlers:
            self._pass_on(member, *handler)
        return member

    def _add_handler(
        self, function: Any, names: tuple[str, ...], around: Namespace, is_batch: bool
    ) -> None:
        self._pass_on(self._model, function, names, around, is_batch)
        self._handlers.append((function, names, around, is_batch))

    def _pass_on(self, member: AsyncHandlerDecorators, *handler: Any) -> None:
        member._add_handler(*handler)


class AsyncAppConsumer(AsyncAppMember[AsyncConsumerBase]):
    """A declared consumer of an app: ``app.consumer()`` and ``app.all_consumer()`` return it.

    It has the decorators of a consumer, ``handler`` and ``batch_handler``. The app creates a
    consumer of it each time that it runs.

    Example::

        app = AsyncApp()
        shipping = app.consumer("order", identifier="shipping")

        @shipping.handler
        async def ship(message: Message, context: AsyncContext) -> None:
            print(message.stream_name, message.type)

    Attributes:
        name: its name in the app, by which ``only`` selects it.
    """

    @property
    def position_name(self) -> str:
        """The stream of its positions, or the key of its row in the table.

        Example::

            shipping = app.consumer("order", identifier="shipping")
            print(shipping.position_name)
        """
        return self._model.name


class AsyncAppReadModel(AsyncAppMember[AsyncReadModel], AsyncInlineModel):
    """A declared read model of an app: ``app.read_model()`` returns it.

    It has the decorators of a read model, and ``format_sql``, ``table`` and ``view`` for the
    handlers and for queries. The app creates a read model of it each time that it runs.

    Example::

        create = "CREATE TABLE {table} (account text PRIMARY KEY, balance int)"
        balances = app.read_model("account", name="balances", version=1, create=create)
        await balances.open_for(client).rebuild()

    Attributes:
        name: its name in the app, by which ``only`` selects it.
    """

    @property
    def position_name(self) -> str:
        """The key of its position's row in the table, or the stream of its positions.

        Example::

            print(declared.position_name)
        """
        return self._model.position_name

    @property
    def identifier(self) -> str:
        """The consumer's identifier: the schema and the table, such as ``public.balances_v1``.

        Example::

            await client.wait_for_consumer(
                "account", declared.identifier, stream_name="account-1", position=3
            )
        """
        return self._model.identifier

    @property
    def is_inline(self) -> bool:
        """True if it was declared with ``inline=True``.

        Example::

            print(declared.is_inline)
        """
        return self._model.is_inline

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories of its messages.

        Example::

            print(declared.categories)
        """
        return self._model.categories

    async def catch_up(self, transaction: AsyncTransaction) -> None:
        """Apply all messages that the table lacks in a transaction: see ``AsyncReadModel``.

        Example::

            async with client.transaction() as tx:
                await declared.catch_up(tx)

        Raises:
            MessageDBError: as that of a read model raises it.
        """
        await self._model.catch_up(transaction)

    @property
    def table(self) -> str:
        """The table of this version, in SQL: qualified and quoted.

        Example::

            print(declared.table)
        """
        return self._model.table

    @property
    def view(self) -> str:
        """The view that readers query, in SQL: qualified and quoted.

        Example::

            print(declared.view)
        """
        return self._model.view

    def format_sql(self, text: str) -> bytes:
        """Return a statement for psycopg, with ``{table}`` replaced by this version's table.

        Example::

            async with client.transaction() as tx:
                await tx.connection.execute(declared.format_sql("TRUNCATE {table}"))
        """
        return self._model.format_sql(text)

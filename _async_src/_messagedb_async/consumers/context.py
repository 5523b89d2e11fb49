"""Context of a handler's call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from messagedb._consumers.callables import AsyncHandlerResult
from messagedb._consumers.context import BaseBatchContext, BaseContext
from messagedb._errors import ValidationError
from messagedb._messages.message import Message

from ..operations.operations import AsyncOperations
from ..transactions.transaction import AsyncTransaction


class AsyncContext(BaseContext[AsyncOperations], eq=False, gc=False):
    """One call of a handler.

    Example::

        @consumer.handler
        async def ship(message: Message, context: AsyncContext) -> None:
            id = context.derive_id("shipped")
            event = NewMessage("Shipped", id=id, metadata=context.following())
            await context.client.write_message("shipment-1", event)

    Attributes:
        message: the message, as it is stored.
        attempt: how often the handler was called with it, from 1.
        client: the object to write with: the transaction of a transactional consumer, otherwise the
            client.
    """

    @property
    def transaction(self) -> AsyncTransaction:
        """The transaction that stores the position, with its ``connection`` for your own SQL.

        Example::

            @consumer.handler
            async def count(message: Message, context: AsyncContext) -> None:
                await context.transaction.connection.execute("UPDATE orders SET shipped = true")

        Raises:
            ValidationError: the consumer is not transactional. Nothing was sent.
        """
        return _get_transaction(self.client)


class AsyncBatchContext(BaseBatchContext[AsyncOperations], eq=False, gc=False):
    """One call of a batch handler.

    Example::

        @consumer.batch_handler
        async def index(messages: list[Message], context: AsyncBatchContext) -> None:
            print(len(messages), context.attempt)

    Attributes:
        messages: the messages, as they are stored, in their order: where the handler gets instances
            of classes, those that they were decoded from.
        attempt: the number of this call, from 1. Later attempts have a list of one message.
        client: the object to write with: the transaction of a transactional consumer, otherwise the
            client.
    """

    @property
    def transaction(self) -> AsyncTransaction:
        """The transaction that stores the position, with its ``connection`` for your own SQL.

        Example::

            @consumer.batch_handler
            async def index(messages: list[Message], context: AsyncBatchContext) -> None:
                rows = [(message.stream_name, message.position) for message in messages]
                async with context.transaction.connection.cursor() as cursor:
                    await cursor.executemany("INSERT INTO seen VALUES (%s, %s)", rows)

        Raises:
            ValidationError: the consumer is not transactional. Nothing was sent.
        """
        return _get_transaction(self.client)

    def for_message(self, message: Message[Any]) -> AsyncContext:
        """Return the context of one of the messages.

        Its ``derive_id()`` and ``following()`` are those of a handler of that message alone: they
        do not depend on the messages that are passed with it.

        Example::

            @consumer.batch_handler
            async def index(messages: list[Message], context: AsyncBatchContext) -> None:
                for message in messages:
                    print(context.for_message(message).derive_id("row"))
        """
        return AsyncContext(message, self.attempt, self.client, self._id_namespace)


def _get_transaction(client: AsyncOperations) -> AsyncTransaction:
    if isinstance(client, AsyncTransaction):
        return client
    raise ValidationError(
        "the consumer has no transaction: pass it transactional=True, or begin a transaction"
        " with the client. Nothing was sent."
    )


AsyncNamedHandler: TypeAlias = (
    Callable[[Message[Any], AsyncContext], AsyncHandlerResult]
    | Callable[[Message[Any]], AsyncHandlerResult]
)
"""Handles messages by their types: a coroutine function of the message and maybe the context."""

AsyncNamedBatchHandler: TypeAlias = (
    Callable[[list[Message[Any]], AsyncBatchContext], AsyncHandlerResult]
    | Callable[[list[Message[Any]]], AsyncHandlerResult]
)
"""Handles lists of messages by their types: a coroutine function of the list and maybe the context.
"""

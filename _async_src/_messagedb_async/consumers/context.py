"""What a handler is given beside its message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from messagedb._consumers.callables import AsyncHandlerResult
from messagedb._consumers.context import BaseContext
from messagedb._errors import ValidationError
from messagedb._messages.message import Message

from ..operations.operations import AsyncOperations
from ..transactions.transaction import AsyncTransaction


class AsyncContext(BaseContext[AsyncOperations], eq=False, gc=False):
    """One call of a handler.

    Attributes:
        message: the message, as it is stored.
        attempt: how often the handler is called with it, from 1.
        store: where to write: the transaction of a transactional consumer, else the client.
    """

    @property
    def transaction(self) -> AsyncTransaction:
        """The transaction that the position is stored in, with its ``connection`` for your own SQL.

        Raises:
            ValidationError: the consumer is not transactional. Nothing was sent.
        """
        if isinstance(self.client, AsyncTransaction):
            return self.client
        raise ValidationError(
            "the consumer has no transaction: give it transactional=True, or begin one of your own "
            "with the client. Nothing was sent."
        )


AsyncNamedHandler: TypeAlias = (
    Callable[[Message[Any], AsyncContext], AsyncHandlerResult]
    | Callable[[Message[Any]], AsyncHandlerResult]
)
"""Handles messages by their types: a coroutine function of the message and perhaps the context."""

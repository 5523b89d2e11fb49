"""Context of a handler's call."""

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
        attempt: how often the handler was called with it, from 1.
        client: the object to write with: the transaction of a transactional consumer, otherwise the
            client.
    """

    @property
    def transaction(self) -> AsyncTransaction:
        """The transaction that stores the position, with its ``connection`` for your own SQL.

        Raises:
            ValidationError: the consumer is not transactional. Nothing was sent.
        """
        if isinstance(self.client, AsyncTransaction):
            return self.client
        raise ValidationError(
            "the consumer has no transaction: pass it transactional=True, or begin a transaction"
            " with the client. Nothing was sent."
        )


AsyncNamedHandler: TypeAlias = (
    Callable[[Message[Any], AsyncContext], AsyncHandlerResult]
    | Callable[[Message[Any]], AsyncHandlerResult]
)
"""Handles messages by their types: a coroutine function of the message and maybe the context."""

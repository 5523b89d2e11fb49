"""Decorators that register the handlers of a consumer or of a read model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, TypeVar, overload

from messagedb._concurrency.backend_async import is_of_this_variant
from messagedb._consumers.callables import AsyncHandlerResult, HandledMessage
from messagedb._errors import ValidationError
from messagedb._messages.annotations import Namespace, capture_caller_namespace

from .context import AsyncBatchContext, AsyncContext, AsyncNamedBatchHandler, AsyncNamedHandler

F = TypeVar("F", bound="AsyncNamedHandler")
B = TypeVar("B", bound="AsyncNamedBatchHandler")
M = TypeVar("M", bound="HandledMessage")
R = TypeVar("R", bound="AsyncHandlerResult")


class AsyncHandlerDecorators(ABC):
    """The decorators ``handler`` and ``batch_handler``."""

    @overload
    def handler(self, /, *message_types: str) -> Callable[[F], F]: ...

    @overload
    def handler(
        self, function: Callable[[M, AsyncContext], R], /
    ) -> Callable[[M, AsyncContext], R]: ...

    @overload
    def handler(self, function: Callable[[M], R], /) -> Callable[[M], R]: ...

    def handler(self, /, *arguments: Any) -> Any:
        """Register a coroutine function as a handler of messages: a decorator.

        ``@consumer.handler`` on a function whose first parameter is annotated with a class of
        messages, or with several (``Deposited | Withdrawn``): it gets such an object, decoded from
        the data. A class that the registry does not have is added under its own name. Annotated
        with ``Message``, or not at all, it gets every message without another handler.

        ``@consumer.handler("Deposited", …)`` names message types; the function gets the
        ``Message``.

        A second parameter, if there is one, gets the context. The function returns None, or raises
        or returns an outcome (``Skip()``, ``Park()``, ``Retry()``, ``Stop()``). Anything else stops
        the consumer before the message with ``HandlerError``, as it may be meant to report that the
        message was not handled. A message without a handler is ignored, and its position counts as
        done.

        Example::

            @consumer.handler("Deposited", "Withdrawn")
            async def book(message: Message, context: AsyncContext) -> None:
                print(message.type, message.data)

        Raises:
            ValidationError: the function is of the other kind, its annotation names no class, or a
                type already has a handler.
        """
        return self._decorate(arguments, is_batch=False)

    @overload
    def batch_handler(self, /, *message_types: str) -> Callable[[B], B]: ...

    @overload
    def batch_handler(
        self, function: Callable[[list[M], AsyncBatchContext], R], /
    ) -> Callable[[list[M], AsyncBatchContext], R]: ...

    @overload
    def batch_handler(self, function: Callable[[list[M]], R], /) -> Callable[[list[M]], R]: ...

    def batch_handler(self, /, *arguments: Any) -> Any:
        """Register a coroutine function as a handler of lists of messages: a decorator.

        ``@consumer.batch_handler`` on a function whose first parameter is annotated with a list of
        a class of messages, or of several (``list[Deposited | Withdrawn]``): it gets such objects.
        Annotated with ``list[Message]``, or not at all, it gets every message without another
        handler. ``@consumer.batch_handler("Deposited", …)`` names message types. A second
        parameter, if there is one, gets an ``AsyncBatchContext``.

        A list has the messages of one page that follow each other, in their order: it ends before a
        message of another handler, and with the page (``batch_size``) or ``transaction_size``. A
        transactional consumer stores its position in the transaction of the list.

        If the function raises, or returns an outcome, with a list of several, it is called with
        each of the messages by itself, in a list of one, from the first on: ``retry``, ``on_error``
        and the next outcome apply to that message. Without transactions the effects of the first
        call stay.

        Example::

            @consumer.batch_handler
            async def index(messages: list[Message], context: AsyncBatchContext) -> None:
                print(len(messages), "messages together")

        Raises:
            ValidationError: as for ``handler``; the annotation is no list; or the consumer has
                ``concurrency``.
        """
        return self._decorate(arguments, is_batch=True)

    def _decorate(self, arguments: tuple[Any, ...], *, is_batch: bool) -> Any:
        around = capture_caller_namespace()
        if len(arguments) == 1 and not isinstance(arguments[0], str):
            self._add_handler(arguments[0], (), around, is_batch)
            return arguments[0]

        def add(function: F) -> F:
            self._add_handler(function, arguments, around, is_batch)
            return function

        return add

    @abstractmethod
    def _add_handler(
        self, function: Any, names: tuple[str, ...], around: Namespace, is_batch: bool
    ) -> None: ...


def check_variant(what: str, function: Any) -> None:
    """Raise unless a function is of the kind that this variant calls."""
    if callable(function) and not is_of_this_variant(function):
        wanted = "a coroutine function" if iscoroutinefunction(_match_any) else "a plain function"
        name = getattr(function, "__qualname__", None) or repr(function)
        raise ValidationError(
            f"{what} of this consumer must be {wanted}, and {name} is not: rewrite it, or use the"
            " consumer of the other variant"
        )


async def _match_any() -> None:
    """Example of a function of this variant."""

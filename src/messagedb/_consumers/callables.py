"""Types of handlers, middleware and ``on_error``, in pairs: one for each variant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from .._messages.message import Message
    from .._messages.registry import DataInstance
    from .handler_outcomes import HandlerOutcome

T = TypeVar("T")

HandledMessage: TypeAlias = "DataInstance | Message[Any]"
"""What a handler is given: an instance of a class of messages, or the message itself."""

AsyncHandlerResult: TypeAlias = "Awaitable[HandlerOutcome | None]"
"""What a handler of messages gives: a coroutine's, of an outcome or of nothing."""

HandlerResult: TypeAlias = "HandlerOutcome | None"
"""What a handler of messages gives: an outcome or nothing."""

AsyncMiddleware: TypeAlias = Callable[[T, Callable[[T], Awaitable[Any]]], Awaitable[Any]]
"""Goes around each call of a handler: a coroutine function of the context and of the next one."""

Middleware: TypeAlias = Callable[[T, Callable[[T], Any]], Any]
"""Goes around each call of a handler: a function of the context and of the next one."""

AsyncOnError: TypeAlias = Literal["stop", "park", "skip"] | Callable[..., Any]
"""What becomes of a message that no attempt could handle; or a function, also a coroutine's."""

OnError: TypeAlias = Literal["stop", "park", "skip"] | Callable[..., Any]
"""What becomes of a message that no attempt could handle; or a function that says it."""

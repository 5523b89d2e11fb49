"""Types of what users give; those of functions in pairs, one for each half."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from ._consumers.handler_outcomes import HandlerOutcome
    from ._messages.message import Message
    from ._messages.registry import DataInstance

T = TypeVar("T")
R = TypeVar("R")
D_co = TypeVar("D_co", covariant=True)

Class: TypeAlias = type[T]
"""A class, where the name ``type`` is that of a message type."""


class Decodes(Protocol[D_co]):
    """What makes an instance of a message: a MessageTypes or a MessageRegistry."""

    def decode(self, message: Message[Any], /) -> D_co:
        """Give the instance."""
        ...


AsyncWork: TypeAlias = Callable[[T], Awaitable[R]]
"""What is done with a T, in a coroutine function."""

Work: TypeAlias = Callable[[T], R]
"""What is done with a T, in a function."""

AsyncAttempt: TypeAlias = Callable[[T, Any], Awaitable[R]]
"""What is done with a T on a connection, in a coroutine function."""

Attempt: TypeAlias = Callable[[T, Any], R]
"""What is done with a T on a connection, in a function."""

AsyncCall: TypeAlias = Callable[[], Awaitable[R]]
"""A coroutine function without arguments."""

Call: TypeAlias = Callable[[], R]
"""A function without arguments."""

MessageGiven: TypeAlias = "DataInstance | Message[Any]"
"""What a handler is given: an instance of a class of messages, or the message itself."""

AsyncResult: TypeAlias = "Awaitable[HandlerOutcome | None]"
"""What a handler of messages gives: a coroutine's, of an outcome or of nothing."""

Result: TypeAlias = "HandlerOutcome | None"
"""What a handler of messages gives: an outcome or nothing."""

AsyncMiddleware: TypeAlias = Callable[[T, Callable[[T], Awaitable[Any]]], Awaitable[Any]]
"""Goes around each call of a handler: a coroutine function of the context and of the next one."""

Middleware: TypeAlias = Callable[[T, Callable[[T], Any]], Any]
"""Goes around each call of a handler: a function of the context and of the next one."""

AsyncOnError: TypeAlias = Literal["stop", "park", "skip"] | Callable[..., Any]
"""What becomes of a message that no attempt could handle; or a function, also a coroutine's."""

OnError: TypeAlias = Literal["stop", "park", "skip"] | Callable[..., Any]
"""What becomes of a message that no attempt could handle; or a function that says it."""

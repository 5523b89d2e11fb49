"""Types of handlers, middleware and ``on_error``, in pairs: one for each variant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias, TypeVar

from .._messages.message import Message
from .._messages.registry import DataInstance
from .handler_outcomes import HandlerOutcome

T = TypeVar("T")

HandledMessage: TypeAlias = DataInstance | Message[Any]
"""The first argument of a handler: an instance of a class of messages, or the message itself."""

AsyncHandlerResult: TypeAlias = Awaitable[HandlerOutcome | None]
"""The result of an async handler: an awaitable of an outcome or None."""

HandlerResult: TypeAlias = HandlerOutcome | None
"""The result of a sync handler: an outcome or None."""

AsyncMiddleware: TypeAlias = Callable[[T, Callable[[T], Awaitable[Any]]], Awaitable[Any]]
"""Wraps each call of a handler: a coroutine function of the context and of the next function."""

Middleware: TypeAlias = Callable[[T, Callable[[T], Any]], Any]
"""Wraps each call of a handler: a function of the context and of the next function."""

AsyncOnError: TypeAlias = Literal["stop", "park", "park_stream", "skip"] | Callable[..., Any]
"""The action after the last failed attempt, or a function that returns it, which may be async."""

OnError: TypeAlias = Literal["stop", "park", "park_stream", "skip"] | Callable[..., Any]
"""The action after the last failed attempt, or a function that returns it."""

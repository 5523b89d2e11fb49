"""Types of functions, in pairs: one for each variant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AsyncUnaryFunction: TypeAlias = Callable[[T], Awaitable[R]]
"""A coroutine function of one argument."""

UnaryFunction: TypeAlias = Callable[[T], R]
"""A function of one argument."""

AsyncThunk: TypeAlias = Callable[[], Awaitable[R]]
"""A coroutine function without arguments."""

Thunk: TypeAlias = Callable[[], R]
"""A function without arguments."""

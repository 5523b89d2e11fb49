"""Types of functions that users give, in pairs: one for each half."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AsyncWork: TypeAlias = Callable[[T], Awaitable[R]]
"""What is done with a T, in a coroutine function."""

Work: TypeAlias = Callable[[T], R]
"""What is done with a T, in a function."""

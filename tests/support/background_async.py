"""Helpers of the fault tests that exist twice, for tasks: see background_sync."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from tests.support.outcome import Outcome

R = TypeVar("R")

sleep = asyncio.sleep


class Background(Generic[R]):
    """A call that begins now and goes on by itself, in a task."""

    def __init__(self, function: Callable[..., Awaitable[R]], *args: Any, **kwargs: Any) -> None:
        self._task = asyncio.ensure_future(_timed(function(*args, **kwargs)))

    @property
    def ended(self) -> bool:
        """True if it has ended."""
        return self._task.done()

    async def outcome(self, limit: float = 30.0) -> Outcome[R]:
        """Wait for its end, at most so many seconds, and return how it went."""
        await asyncio.wait([self._task], timeout=limit)
        assert self._task.done(), f"still running after {limit} s"
        return self._task.result()

    async def result(self, limit: float = 30.0) -> R:
        """Wait for its end, and return its result or raise its error."""
        return (await self.outcome(limit)).result()


async def _timed(awaitable: Awaitable[R]) -> Outcome[R]:
    begin = time.monotonic()
    try:
        value = await awaitable
    except Exception as error:
        return Outcome(None, error, time.monotonic() - begin)
    return Outcome(value, None, time.monotonic() - begin)


async def eventually(condition: Callable[[], object], limit: float = 5.0) -> None:
    """Wait until a condition, which does not block, holds; at most so many seconds."""
    until = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < until, f"not so within {limit} s"
        await asyncio.sleep(0.01)


def count_tasks() -> int:
    """Return the number of tasks of the event loop that have not ended."""
    return len(asyncio.all_tasks())

"""Results of queries that requests share: many viewers cost the store as much as one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

R = TypeVar("R")

_MOST: Final = 200


class SharedAnswers:
    """The newest result of each query, kept for some seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, Any]] = {}
        self._running: dict[str, asyncio.Lock] = {}

    async def get(self, key: str, seconds: float, ask: Callable[[], Awaitable[R]]) -> R:
        """Return the kept result, or ask for a new one. Simultaneous requests ask together.

        Args:
            key: the query with its arguments.
            seconds: how long a result is kept.
            ask: the query. Its errors are not kept.
        """
        kept = self._get_kept(key, seconds)
        if kept is not None:
            return cast("R", kept[1])
        lock = self._running.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                kept = self._get_kept(key, seconds)
                if kept is None:
                    kept = (self._clock(), await ask())
                    self._keep(key, kept)
                return cast("R", kept[1])
        finally:
            if not lock.locked():
                self._running.pop(key, None)

    def forget(self, key: str) -> None:
        """Let the next request ask for a new result, as something was changed."""
        self._kept.pop(key, None)

    def _get_kept(self, key: str, seconds: float) -> tuple[float, Any] | None:
        kept = self._kept.get(key)
        return kept if kept is not None and self._clock() - kept[0] < seconds else None

    def _keep(self, key: str, kept: tuple[float, Any]) -> None:
        self._kept.pop(key, None)
        self._kept[key] = kept
        while len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]

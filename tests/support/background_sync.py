"""Helpers of the fault tests that exist twice, for threads: see background_async."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from tests.support.outcome import Outcome

R = TypeVar("R")

sleep = time.sleep


class Background(Generic[R]):
    """A call that begins now and goes on by itself, in a thread."""

    def __init__(self, function: Callable[..., R], *args: Any, **kwargs: Any) -> None:
        self._outcome: Outcome[R] | None = None

        def run() -> None:
            begin = time.monotonic()
            try:
                value = function(*args, **kwargs)
            except Exception as error:
                self._outcome = Outcome(None, error, time.monotonic() - begin)
            else:
                self._outcome = Outcome(value, None, time.monotonic() - begin)

        # A daemon: a call that hangs fails its test, and does not keep the run from ending.
        self._thread = threading.Thread(target=run, name="background", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """True if it has ended."""
        return not self._thread.is_alive()

    def outcome(self, limit: float = 30.0) -> Outcome[R]:
        """Wait for its end, at most so many seconds, and return how it went."""
        self._thread.join(limit)
        assert self._outcome is not None, f"still running after {limit} s"
        return self._outcome

    def result(self, limit: float = 30.0) -> R:
        """Wait for its end, and return its result or raise its error."""
        return self.outcome(limit).result()


def eventually(condition: Callable[[], object], limit: float = 5.0) -> None:
    """Wait until a condition, which does not block, holds; at most so many seconds."""
    until = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < until, f"not so within {limit} s"
        time.sleep(0.01)


def count_tasks() -> int:
    """Return 0: there are threads only."""
    return 0

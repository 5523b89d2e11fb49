"""Alarms whose handlers raise in the main thread, at random moments."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

needs_alarms = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="there is no setitimer on this system"
)

# Coverage traces. A traced thread of Python 3.11 may not get out of a function's first instruction
# while, or after, a signal is pending for the main thread.
untraced = pytest.mark.no_cover


class TooLate(Exception):
    """Raised by an application when a job's time is up."""


@contextmanager
def raising(make: Callable[[], BaseException]) -> Generator[list[BaseException]]:
    """Raise what is made at each alarm; give what was raised."""
    raised: list[BaseException] = []

    def handler(_number: int, _frame: Any) -> None:
        raised.append(make())
        raise raised[-1]

    before = signal.signal(signal.SIGALRM, handler)
    try:
        yield raised
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def ignore(_arguments: object) -> None:
    """Ignore an exception that no caller can catch, and keep nothing of it."""


def call_until(raised: list[BaseException], seconds: float, call: Callable[[], object]) -> None:
    """Call a function until an alarm has raised.

    A separate function: an exception at the jump of a loop is not in the loop's ``try`` on
    Python 3.13.
    """
    signal.setitimer(signal.ITIMER_REAL, seconds)
    while not raised:
        call()

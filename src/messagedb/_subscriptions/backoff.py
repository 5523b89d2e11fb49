"""Delays before a failed handler is called again. No I/O."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from .._argument_checks import check_integer, check_seconds
from .._errors import ValidationError

__all__ = ["NO_RETRY", "RetryPolicy"]


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The number of attempts of a failing handler, and the delays between them.

    The delay before attempt ``n + 1`` is ``delay * multiplier ** (n - 1)`` seconds, at most
    ``max_delay``. With ``jitter`` it is reduced by up to half of it, at random. During the delay
    all later messages wait, too; with ``concurrency`` only those of the same stream.

    Attempts that failed because the store was unavailable do not count: see ``AsyncConsumer``.

    Example::

        retry = RetryPolicy(max_attempts=3, delay=0.5)
        consumer = Consumer(client, "order", identifier="shipping", retry=retry)

    Attributes:
        max_attempts: the maximum number of calls of the handler, from 1.
        delay: seconds before the second attempt.
        multiplier: the ratio of each delay to the one before, from 1.
        max_delay: the longest delay in seconds.
        jitter: choose each delay at random, from half of it to the whole.

    Raises:
        ValidationError: a value is out of its range.
    """

    max_attempts: int = 5
    delay: float = 0.1
    multiplier: float = 2.0
    max_delay: float = 10.0
    jitter: bool = True

    def __post_init__(self) -> None:
        check_integer("max_attempts", self.max_attempts, least=1)
        for name in ("delay", "max_delay"):
            check_seconds(name, getattr(self, name))
        factor: Any = self.multiplier
        if (
            not isinstance(factor, int | float)
            or isinstance(factor, bool)
            or not 1 <= factor <= 100
        ):
            raise ValidationError(f"multiplier must be a number from 1 to 100, not {factor!r}")

    def get_delay(self, attempt: int) -> float | None:
        """Return the seconds to wait after attempt ``attempt`` (from 1), None after the last one.

        Example::

            print(RetryPolicy(jitter=False).get_delay(2))  # seconds, or None after the last attempt
        """
        if attempt >= self.max_attempts:
            return None
        return self.get_backoff(attempt)

    def get_backoff(self, failures: int) -> float:
        """Return the seconds to wait after a number of failures in a row, without a limit.

        Example::

            print(RetryPolicy(jitter=False).get_backoff(3))
        """
        try:
            longest = min(self.delay * float(self.multiplier) ** (failures - 1), self.max_delay)
        except OverflowError:
            longest = self.max_delay
        return longest * random.uniform(0.5, 1.0) if self.jitter else longest


NO_RETRY = RetryPolicy(max_attempts=1)
"""A policy that does not call a failed handler again."""

RECONNECT_BACKOFF = RetryPolicy(max_attempts=1, delay=0.1, multiplier=2.0, max_delay=5.0)
"""The delays between attempts to reach an unavailable store; their number has no limit."""

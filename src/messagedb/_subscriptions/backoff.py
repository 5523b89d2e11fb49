"""When a handler is called again after it failed: decisions only."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from .._argument_checks import check_integer, check_seconds
from .._errors import ValidationError

__all__ = ["NO_RETRY", "RetryPolicy"]


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often, and after which waits, a handler that failed is called again.

    The wait before attempt *n* + 1 is ``delay * multiplier ** (n - 1)`` seconds, at most
    ``max_delay``, and with ``jitter`` a random half of it less. While it waits, the messages behind
    it wait, too; with ``concurrency`` those of other streams go on.

    Attempts that failed because the store was away do not count: see ``AsyncConsumer``.

    Attributes:
        max_attempts: how often the handler is called at most, from 1.
        delay: seconds before the second attempt.
        multiplier: what each wait is times the one before, from 1.
        max_delay: the longest wait in seconds.
        jitter: whether the waits are drawn at random, from half of each to the whole.

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
        """The seconds to wait after attempt *attempt* (from 1), None when it was the last one."""
        if attempt >= self.max_attempts:
            return None
        return self.get_backoff(attempt)

    def get_backoff(self, failures: int) -> float:
        """The seconds to wait after so many failures in a row, whatever their number."""
        try:
            longest = min(self.delay * float(self.multiplier) ** (failures - 1), self.max_delay)
        except OverflowError:
            longest = self.max_delay
        return longest * random.uniform(0.5, 1.0) if self.jitter else longest


NO_RETRY = RetryPolicy(max_attempts=1)
"""A handler that failed is not called again."""

RECONNECT_BACKOFF = RetryPolicy(max_attempts=1, delay=0.1, multiplier=2.0, max_delay=5.0)
"""The waits between attempts to reach a store that is away; their number has no limit."""

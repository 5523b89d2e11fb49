"""The decision to run a transaction or a statement again, and the wait before. No I/O."""

from __future__ import annotations

import random
from typing import Any, Final

import psycopg

from .._argument_checks import check_integer
from .._errors import (
    LostHistoryError,
    RetryableError,
    ValidationError,
    WrongExpectedVersionError,
)

# psycopg's errors of the same meaning, which the user's own statements raise.
_RETRYABLE: Final = (
    RetryableError,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.LockNotAvailable,
)

_FIRST_DELAY: Final = 0.01
_MAX_DELAY: Final = 1.0


def is_retryable(error: Exception) -> bool:
    """Return True if a transaction that failed with this error may succeed if it runs again."""
    return isinstance(error, _RETRYABLE)


def get_retry_delay(error: Exception, attempt: int, retry_version_conflicts: bool) -> float | None:
    """Return the seconds to wait before a failed transaction runs again, None if it must not."""
    if isinstance(error, _RETRYABLE) or (
        retry_version_conflicts and isinstance(error, WrongExpectedVersionError | LostHistoryError)
    ):
        return pause(attempt)
    return None


def pause(attempt: int) -> float:
    """Return the seconds to wait after an attempt (from 1) that failed because of others.

    They are random, with a maximum that doubles after each attempt, so that transactions that
    collided do not collide again.
    """
    return random.uniform(0, min(_FIRST_DELAY * 2 ** min(attempt, 10), _MAX_DELAY))


def check_transaction_function(function: Any, max_attempts: Any) -> None:
    """Raise unless the work of a transaction is a function, and the attempts a number from 1.

    Raises:
        ValidationError: one of them is invalid. Nothing was sent.
    """
    if not callable(function):
        raise ValidationError(
            "pass the function itself, which takes the transaction, not "
            f"{type(function).__name__}: run_transaction(transfer), not "
            "run_transaction(transfer(…)). Nothing was sent."
        )
    check_integer("max_attempts", max_attempts, least=1)

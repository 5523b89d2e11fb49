"""Which errors say that the store is unavailable for now."""

from __future__ import annotations

from .._errors import RetryableError, StoreUnavailableError
from ..errors import OutcomeUnknownError


def is_store_away(problem: BaseException) -> bool:
    """Whether an error says that the store is away for now, and not that something is wrong."""
    if isinstance(problem, StoreUnavailableError):
        return problem.is_transient
    return isinstance(problem, OutcomeUnknownError)


def is_passing(problem: BaseException) -> bool:
    """Return True also for deadlocks and serialization failures, which others may cause."""
    return is_store_away(problem) or isinstance(problem, RetryableError)

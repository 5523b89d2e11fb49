"""Errors that mean that the store is temporarily unavailable."""

from __future__ import annotations

from .._errors import RetryableError, StoreUnavailableError
from ..errors import OutcomeUnknownError


def is_store_unavailable(problem: BaseException) -> bool:
    """Return True if an error means that the store is temporarily unavailable."""
    if isinstance(problem, StoreUnavailableError):
        return problem.is_transient
    return isinstance(problem, OutcomeUnknownError)


def is_transient_error(problem: BaseException) -> bool:
    """Return True if the store is unavailable, or for a deadlock or a serialization failure."""
    return is_store_unavailable(problem) or isinstance(problem, RetryableError)

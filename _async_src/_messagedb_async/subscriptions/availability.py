"""Retry of operations that fail because the store is unavailable."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from messagedb._subscriptions.availability import is_transient_error
from messagedb._subscriptions.backoff import RECONNECT_BACKOFF

if TYPE_CHECKING:
    from collections.abc import Callable

    from messagedb._concurrency.callables import AsyncThunk, AsyncUnaryFunction

R = TypeVar("R")


async def retry_while_unavailable(
    call: AsyncThunk[R],
    *,
    pause: AsyncUnaryFunction[float, bool],
    on_failure: Callable[[Exception, float], object],
    is_transient: Callable[[Exception], bool] = is_transient_error,
) -> R | None:
    """Call a function until it succeeds, with growing delays between the attempts.

    Args:
        call: the function.
        pause: waits for so many seconds; returns False if there is to be no other attempt.
        on_failure: is called with each transient error and the seconds until the next attempt.
        is_transient: returns True for errors after which the function is called again.

    Returns:
        The result; None if the pause ended the attempts.

    Raises:
        Exception: an error of the function that is not transient.
    """
    failures = 0
    while True:
        try:
            return await call()
        except Exception as error:
            if not is_transient(error):
                raise
            failures += 1
            delay = RECONNECT_BACKOFF.get_backoff(failures)
            on_failure(error, delay)
        if not await pause(delay):
            return None

"""The failed attempts of a run: those of messages that are tried again, and the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from .._messages.message import Message


class FailedAttempt(msgspec.Struct, frozen=True):
    """A failed attempt to handle a message.

    Attributes:
        message: the message.
        attempt: the number of the attempt.
        error: the error in one line.
        failed_at: the time, in seconds of a clock that only moves forward.
        began_failing_at: the time of the message's first failed attempt.
    """

    message: Message[Any]
    attempt: int
    error: str
    failed_at: float
    began_failing_at: float


class FailureLog:
    """The failed attempts of one run. Threads may share it.

    Attributes:
        last: the last failed attempt; None if there was none.
    """

    def __init__(self) -> None:
        self.last: FailedAttempt | None = None
        self._retried: dict[int, FailedAttempt] = {}

    def note(self, message: Message[Any], attempt: int, error: str, now: float) -> None:
        """Note a failed attempt, of a message that is tried again until ``forget``."""
        before = self._retried.get(message.global_position)
        began_at = now if before is None else before.began_failing_at
        self.last = FailedAttempt(message, attempt, error, now, began_at)
        self._retried[message.global_position] = self.last

    def forget(self, message: Message[Any]) -> None:
        """Note that a message is not tried again: it is done, or the run is to stop."""
        self._retried.pop(message.global_position, None)

    def find_first(self) -> FailedAttempt | None:
        """Return the last attempt of the first message of the store that is tried again."""
        retried = self._retried.copy()
        return retried[min(retried)] if retried else None

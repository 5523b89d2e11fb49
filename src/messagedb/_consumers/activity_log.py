"""Log lines of a run that has no problem: its start, counts now and then, and its end."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from logging import Logger

    from .._operations.scan_results import Lag
    from .counters import Counters

SUMMARY_SECONDS: Final = 60.0
"""The least time between two summaries of a run."""


class ActivityLog:
    """Logs at INFO what a run does: a few lines a minute at most, and none for a message.

    Args:
        name: the consumer's.
        counters: the consumer's.
        log: the logger.
        now: the present time, in seconds of a clock that only moves forward.
    """

    def __init__(self, name: str, counters: Counters, log: Logger, now: float) -> None:
        self._name = name
        self._counters = counters
        self._log = log
        self._begun: tuple[int, int, int] = self._count()
        self._last_counts: tuple[int, int, int] = self._begun
        self._summarized_at = now
        self._is_caught_up = False
        self._was_caught_up = False

    def note_start(self, position: int, lag: Lag | None) -> None:
        """Log that the run delivers from now on.

        Args:
            position: the global position up to which everything is done.
            lag: the head and the messages behind, if they could be measured.
        """
        self._log.info(
            "%s: it has started after position %d, %s, as process %d of %s",
            self._name,
            position,
            describe_lag(lag),
            os.getpid(),
            socket.gethostname(),
        )

    def note_caught_up(self, position: int) -> None:
        """Log that a read has found nothing more, once, and again after a time of being behind."""
        self._was_caught_up = True
        if not self._is_caught_up:
            self._is_caught_up = True
            self._log.info("%s: it has caught up, at position %d", self._name, position)

    def summarize(self, now: float, lag: Lag | None) -> None:
        """Log the counts since the last summary, if they changed and it is a minute ago."""
        if now - self._summarized_at < SUMMARY_SECONDS:
            return
        counts = self._count()
        if counts != self._last_counts:
            handled, parked, skipped = (
                count - before for count, before in zip(counts, self._last_counts, strict=True)
            )
            self._log.info(
                "%s: in %.0f s it has handled %d, parked %d and skipped %d messages, %s",
                self._name,
                now - self._summarized_at,
                handled,
                parked,
                skipped,
                describe_lag(lag),
            )
        self._is_caught_up = self._was_caught_up
        self._was_caught_up = False
        self._last_counts, self._summarized_at = counts, now

    def note_stop(self, position: int | None) -> None:
        """Log that the run has ended without an error."""
        handled = self._count()[0] - self._begun[0]
        where = "before it had started" if position is None else f"after position {position}"
        self._log.info(
            "%s: it has stopped, %s; it has handled %s", self._name, where, _describe_count(handled)
        )

    def _count(self) -> tuple[int, int, int]:
        counters = self._counters
        return counters.handled, counters.parked, counters.skipped


def describe_lag(lag: Lag | None) -> str:
    """Return the number of messages behind, and the head, in words.

    Example::

        describe_lag(lag)  # '12 messages behind (head 53)'
    """
    if lag is None:
        return "its lag is not known"
    head = "" if lag.head is None else f" (head {lag.head})"
    if lag.messages == 0:
        return f"no message behind{head}"
    at_least = "" if lag.is_exact else "at least "
    return f"{at_least}{_describe_count(lag.messages)} behind{head}"


def _describe_count(count: int) -> str:
    return f"{count} message" if count == 1 else f"{count} messages"

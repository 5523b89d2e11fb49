"""Delays between polls of a consumer that finds no messages. No I/O."""

from __future__ import annotations

from typing import Final

_GAP_POLL_SECONDS: Final = 0.005
_IDLE_THRESHOLD: Final = 100
"""The number of empty polls in a row after which the interval grows: ten seconds at 100 ms."""
_GROWTH: Final = 1.1


class PollInterval:
    """The delays between polls.

    Args:
        interval: seconds between two polls.
        idle_interval: the longest interval, after many empty polls, and the interval while
            notifications arrive.
    """

    def __init__(self, interval: float, idle_interval: float) -> None:
        self._interval = interval
        self._idle_interval = max(interval, idle_interval)
        self._empty_polls = 0

    def reset(self) -> None:
        """Reset the delay: a poll has found messages."""
        self._empty_polls = 0

    def next_delay(
        self, poll_seconds: float, *, notified: bool = False, soon: bool = False
    ) -> float:
        """Return the seconds to wait after an empty poll.

        Args:
            poll_seconds: the duration of the poll in seconds, which counts as waited.
            notified: True while notifications arrive, so that polling is only the fallback.
            soon: True if a message is held back that can be delivered in a moment.
        """
        self._empty_polls += 1
        if soon:
            return min(_GAP_POLL_SECONDS * 1.5 ** min(self._empty_polls - 1, 20), self._interval)
        if notified:
            return self._idle_interval
        excess = self._empty_polls - _IDLE_THRESHOLD
        interval = self._interval
        if excess > 0:
            interval = min(interval * _GROWTH ** min(excess, 200), self._idle_interval)
        return max(interval - poll_seconds, 0.0)

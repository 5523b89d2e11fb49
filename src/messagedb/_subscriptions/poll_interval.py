"""How long a consumer that has found nothing waits before it looks again: decisions only."""

from __future__ import annotations

from typing import Final

_SOON: Final = 0.005
_CALM: Final = 100
"""After so many looks in a row that found nothing the interval grows: ten seconds at 100 ms."""
_GROWTH: Final = 1.1


class Polling:
    """The waits between looks.

    Args:
        interval: seconds between two looks.
        idle_interval: what they grow to where nothing was found for long, or where notifications
            come.
    """

    def __init__(self, interval: float, idle_interval: float) -> None:
        self._interval = interval
        self._idle_interval = max(interval, idle_interval)
        self._nothing = 0

    def found(self) -> None:
        """Take note that something was there."""
        self._nothing = 0

    def wait(self, took: float, *, notified: bool = False, soon: bool = False) -> float:
        """The seconds to wait after a look that found nothing.

        Args:
            took: the seconds that the look took, which count as waited.
            notified: whether notifications come, so that looking is only the fallback.
            soon: whether something is held back that will be free any moment.
        """
        self._nothing += 1
        if soon:
            return min(_SOON * 1.5 ** min(self._nothing - 1, 20), self._interval)
        if notified:
            return self._idle_interval
        over = self._nothing - _CALM
        interval = self._interval
        if over > 0:
            interval = min(interval * _GROWTH ** min(over, 200), self._idle_interval)
        return max(interval - took, 0.0)

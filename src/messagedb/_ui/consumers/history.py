"""The lag of consumers over the last minutes, as this process has seen it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

KEPT: Final = 60
"""The number of points that are kept for each consumer."""

SPACING: Final = 5.0
"""The least number of seconds between two of them."""

_MOST_CONSUMERS: Final = 500


class LagHistory:
    """Points of lag in messages: one whenever a page looks, and none otherwise."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._points: dict[str, deque[tuple[float, int]]] = {}

    def add(self, name: str, lag: int) -> None:
        """Add a point, unless the last one is newer than the spacing: that one is replaced."""
        points = self._points.setdefault(name, deque(maxlen=KEPT))
        now = self._clock()
        if len(points) > 1 and now - points[-2][0] < SPACING:
            points[-1] = (now, lag)
        else:
            points.append((now, lag))
        while len(self._points) > _MOST_CONSUMERS:
            del self._points[next(iter(self._points))]

    def get(self, name: str) -> list[tuple[float, int]]:
        """Return the points of a consumer, as seconds from now, which are negative, and lag."""
        now = self._clock()
        return [(at - now, lag) for at, lag in self._points.get(name, ())]


def find_trend(points: Sequence[tuple[float, int]]) -> str:
    """Return ``up``, ``down``, ``level``, or ``""`` if there are not enough points.

    It compares the newest point with the first one of the last minute. A change of at most a
    hundredth is ``level``.
    """
    recent = [lag for at, lag in points if at >= -60]
    if len(recent) < 2:
        return ""
    change = recent[-1] - recent[0]
    if abs(change) <= max(recent) / 100:
        return "level"
    return "up" if change > 0 else "down"


def draw_line(points: Sequence[tuple[float, int]], width: int, height: int) -> str:
    """Return the points of an SVG polyline, oldest at the left; "" if all are of one moment."""
    if len(points) < 2 or points[-1][0] - points[0][0] < 2 * SPACING:
        return ""
    first, last = points[0][0], points[-1][0]
    span = max(last - first, 1.0)
    highest = max(max(lag for _, lag in points), 1)
    x_scale, y_scale = (width - 2) / span, (height - 2) / highest
    return " ".join(
        f"{(at - first) * x_scale + 1:.1f},{height - 1 - lag * y_scale:.1f}" for at, lag in points
    )

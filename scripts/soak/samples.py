"""Samples of a run, one each second, and the least-squares line through their second half."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
from trials import memory

MEASURES = {
    "memory": "MB of resident memory",
    "descriptors": "file descriptors",
    "connections": "connections to the server",
    "threads": "threads",
    "tasks": "asyncio tasks",
    "lag": "messages of lag, of the last consumer",
}
"""The samples by name, with their units."""


@dataclass
class Samples:
    """The measured values by name, and the seconds of the run at which they were taken."""

    seconds: list[float] = field(default_factory=list[float])
    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in MEASURES})

    def compute_slope(self, name: str) -> float:
        """Return the growth per minute: of the least-squares line over the second half."""
        half = len(self.seconds) // 2
        return compute_slope(self.seconds[half:], self.values[name][half:]) * 60


def compute_slope(places: list[float], values: list[float]) -> float:
    """Return the slope of the least-squares line; 0 for fewer than two places."""
    if len(places) < 2:
        return 0.0
    middle, mean = sum(places) / len(places), sum(values) / len(values)
    spread = sum((place - middle) ** 2 for place in places)
    pairs = zip(places, values, strict=True)
    return sum((place - middle) * (value - mean) for place, value in pairs) / spread


class Sampler:
    """Takes samples of this process and of its sessions.

    Args:
        conn: a connection of a superuser, in autocommit mode.
        application_name: that of the sessions to count.
        get_lag: returns the lag of the slowest consumer.
    """

    def __init__(
        self, conn: psycopg.Connection, application_name: str, get_lag: Callable[[], int]
    ) -> None:
        self.samples = Samples()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._conn = conn
        self._name = application_name
        self._get_lag = get_lag
        self._begun = time.monotonic()

    def take(self) -> None:
        """Take one sample of each."""
        row = self._conn.execute(
            "select count(*) from pg_stat_activity where application_name = %s", [self._name]
        ).fetchone()
        assert row is not None
        found: dict[str, float] = {
            "memory": memory.get_resident(),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "connections": int(row[0]),
            "threads": threading.active_count(),
            "tasks": len(asyncio.all_tasks(self.loop)) if self.loop else 0,
            "lag": self._get_lag(),
        }
        self.samples.seconds.append(round(time.monotonic() - self._begun, 2))
        for name, value in found.items():
            self.samples.values[name].append(value)

"""Gauges of consumers and of pools: their names, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from .._connection.pool_stats import PoolStats
from .._consumers.status import ConsumerStatus

__all__ = [
    "CONSUMER_GAUGES",
    "POOL_COUNTERS",
    "POOL_GAUGES",
    "Gauge",
    "ObservedClient",
    "ObservedConsumer",
]


class ObservedConsumer(Protocol):
    """A consumer of either variant."""

    def status(self) -> ConsumerStatus:
        """Return its status at this moment, without a query."""
        ...


class ObservedClient(Protocol):
    """A client of either variant."""

    def pool_stats(self) -> PoolStats:
        """Return the statistics of its pool at this moment, without a query."""
        ...


@dataclass(frozen=True)
class Gauge:
    """A value that is read when metrics are collected.

    Attributes:
        name: the name of the metric.
        unit: its unit.
        description: one sentence.
        read: returns each value with its labels besides those of the observed object.
    """

    name: str
    unit: str
    description: str
    read: Callable[[Any], list[tuple[float, dict[str, str]]]]


def _single(value: float | None) -> list[tuple[float, dict[str, str]]]:
    return [] if value is None else [(value, {})]


CONSUMER_GAUGES: Final = (
    Gauge(
        "messagedb.consumer.lag",
        "{message}",
        "Messages behind a consumer's position, before filters.",
        lambda status: _single(status.lag_messages),
    ),
    Gauge(
        "messagedb.consumer.lag.time",
        "s",
        "How long the oldest message behind a consumer's position has waited.",
        lambda status: _single(0.0 if status.lag_messages == 0 else status.lag_seconds),
    ),
    Gauge(
        "messagedb.consumer.parked",
        "{message}",
        "Messages that a consumer has parked since it was made.",
        lambda status: _single(status.parked_count),
    ),
)


def _by_state(stats: PoolStats) -> list[tuple[float, dict[str, str]]]:
    used = stats.pool_size - stats.pool_available
    return [
        (stats.pool_available, {"db.client.connection.state": "idle"}),
        (used, {"db.client.connection.state": "used"}),
    ]


# The names of OpenTelemetry's conventions for database clients, where they have one.
POOL_GAUGES: Final = (
    Gauge(
        "db.client.connection.count",
        "{connection}",
        "Connections of a pool that are idle, and those that are used.",
        _by_state,
    ),
    Gauge(
        "db.client.connection.idle.min",
        "{connection}",
        "Connections that a pool keeps open.",
        lambda stats: _single(stats.pool_min),
    ),
    Gauge(
        "db.client.connection.max",
        "{connection}",
        "Maximum number of open connections of a pool.",
        lambda stats: _single(stats.pool_max),
    ),
    Gauge(
        "db.client.connection.pending_requests",
        "{request}",
        "Operations that wait for a connection.",
        lambda stats: _single(stats.requests_waiting),
    ),
    Gauge(
        "messagedb.pool.commits_waiting",
        "{connection}",
        "Connections whose COMMIT got no response in time, for example without a standby.",
        lambda stats: _single(stats.commits_waiting),
    ),
)
POOL_COUNTERS: Final = (
    Gauge(
        "db.client.connection.timeouts",
        "{timeout}",
        "Operations that got no connection in time.",
        lambda stats: _single(stats.requests_errors),
    ),
    Gauge(
        "messagedb.pool.connect_errors",
        "{attempt}",
        "Attempts to open a connection that failed.",
        lambda stats: _single(stats.connections_errors),
    ),
)

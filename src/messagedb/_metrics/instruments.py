"""Metrics of consumers and of pools: their names, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, get_args

from .._connection.pool_stats import PoolStats
from .._consumers.consumer_info import ConsumerInfo
from .._consumers.partition_info import PartitionSetInfo
from .._consumers.status import ConsumerState, ConsumerStatus

__all__ = [
    "CONSUMERS",
    "POOLS",
    "STORED_CONSUMERS",
    "STORED_PARTITIONS",
    "Instrument",
    "ObservedClient",
    "ObservedConsumer",
    "Reading",
]

Reading = list[tuple[float, dict[str, str]]]
"""Values, each with its labels besides those of the observed object."""

CONSUMER: Final = "messaging.consumer.group.name"
"""The label that names a consumer."""

POOL: Final = "db.client.connection.pool.name"
"""The label that names a pool."""

_STATE: Final = "messagedb.consumer.state"
_STORED_STATES: Final = (*get_args(ConsumerState), "not running", "no report", "not ours")


class ObservedConsumer(Protocol):
    """A consumer of either variant.

    Example::

        observed: ObservedConsumer = consumer
        print(observed.status().state)
    """

    def status(self) -> ConsumerStatus:
        """Return its status at this moment, without a query."""
        ...


class ObservedClient(Protocol):
    """A client of either variant.

    Example::

        observed: ObservedClient = client
        print(observed.pool_stats().pool_size)
    """

    def pool_stats(self) -> PoolStats:
        """Return the statistics of its pool at this moment, without a query."""
        ...


@dataclass(frozen=True)
class Instrument:
    """A metric whose values are read when metrics are collected.

    Attributes:
        name: the name of the metric, by OpenTelemetry's conventions.
        kind: ``up_down`` is a gauge whose values may be added up.
        unit: its unit; "" if it has none.
        description: one sentence.
        read: returns the values of an observed object.
    """

    name: str
    kind: Literal["gauge", "up_down", "counter"]
    unit: str
    description: str
    read: Callable[[Any], Reading]


def _single(value: float | None) -> Reading:
    return [] if value is None else [(value, {})]


def _by_state(status: ConsumerStatus) -> Reading:
    return [(float(each == status.state), {_STATE: each}) for each in get_args(ConsumerState)]


def _by_stored_state(consumer: ConsumerInfo) -> Reading:
    return [(float(each == consumer.state), {_STATE: each}) for each in _STORED_STATES]


def _by_owner(found: PartitionSetInfo) -> Reading:
    name = "messagedb.partition.state"
    return [(found.owned_count, {name: "owned"}), (len(found.unowned), {name: "unowned"})]


def _by_use(stats: PoolStats) -> Reading:
    used = stats.pool_size - stats.pool_available
    return [
        (stats.pool_available, {"db.client.connection.state": "idle"}),
        (used, {"db.client.connection.state": "used"}),
    ]


CONSUMERS: Final = (
    Instrument(
        "messagedb.consumer.lag",
        "gauge",
        "{message}",
        "Messages behind a consumer's position, before filters.",
        lambda status: _single(status.lag_messages),
    ),
    Instrument(
        "messagedb.consumer.lag.time",
        "gauge",
        "s",
        "How long the oldest message behind a consumer's position has waited.",
        lambda status: _single(0.0 if status.lag_messages == 0 else status.lag_seconds),
    ),
    Instrument(
        "messagedb.consumer.position",
        "gauge",
        "",
        "Global position of the next message that a consumer handles.",
        lambda status: _single(status.next_position),
    ),
    Instrument(
        _STATE,
        "gauge",
        "",
        "1 for the state that a consumer is in, and 0 for the others.",
        _by_state,
    ),
    Instrument(
        "messagedb.consumer.handled",
        "counter",
        "{message}",
        "Messages that a consumer has handled since it was made.",
        lambda status: _single(status.handled_count),
    ),
    Instrument(
        "messagedb.consumer.parked",
        "counter",
        "{message}",
        "Messages that a consumer has parked since it was made.",
        lambda status: _single(status.parked_count),
    ),
    Instrument(
        "messagedb.consumer.skipped",
        "counter",
        "{message}",
        "Messages that a consumer has skipped since it was made.",
        lambda status: _single(status.skipped_count),
    ),
)
"""Of a consumer of this process, read from its ``ConsumerStatus``."""

# The names of OpenTelemetry's conventions for database clients, where they have one.
POOLS: Final = (
    Instrument(
        "db.client.connection.count",
        "up_down",
        "{connection}",
        "Connections of a pool that are idle, and those that are used.",
        _by_use,
    ),
    Instrument(
        "db.client.connection.idle.min",
        "up_down",
        "{connection}",
        "Connections that a pool keeps open.",
        lambda stats: _single(stats.pool_min),
    ),
    Instrument(
        "db.client.connection.max",
        "up_down",
        "{connection}",
        "Maximum number of open connections of a pool.",
        lambda stats: _single(stats.pool_max),
    ),
    Instrument(
        "db.client.connection.pending_requests",
        "up_down",
        "{request}",
        "Operations that wait for a connection.",
        lambda stats: _single(stats.requests_waiting),
    ),
    Instrument(
        "messagedb.pool.commits_waiting",
        "up_down",
        "{connection}",
        "Connections whose COMMIT got no response in time, for example without a standby.",
        lambda stats: _single(stats.commits_waiting),
    ),
    Instrument(
        "db.client.connection.timeouts",
        "counter",
        "{timeout}",
        "Operations that got no connection in time.",
        lambda stats: _single(stats.requests_errors),
    ),
    Instrument(
        "messagedb.pool.connect_errors",
        "counter",
        "{attempt}",
        "Attempts to open a connection that failed.",
        lambda stats: _single(stats.connections_errors),
    ),
    Instrument(
        "messagedb.group_commit.groups",
        "counter",
        "{group}",
        "Groups of writes that shared a transaction.",
        lambda stats: _single(stats.groups_num),
    ),
    Instrument(
        "messagedb.group_commit.writes",
        "counter",
        "{write}",
        "Writes in those groups: divided by the groups, the average size of a group.",
        lambda stats: _single(stats.group_writes_num),
    ),
    Instrument(
        "messagedb.group_commit.messages",
        "counter",
        "{message}",
        "Messages of those writes.",
        lambda stats: _single(stats.group_messages_num),
    ),
)
"""Of the pool of a client, read from its ``PoolStats``."""

STORED_PARTITIONS: Final = (
    Instrument(
        "messagedb.consumer.partitions",
        "gauge",
        "{partition}",
        "Partitions of a consumer that a live process owns, and those that none owns.",
        _by_owner,
    ),
    Instrument(
        "messagedb.consumer.partitions.overdue",
        "gauge",
        "{partition}",
        "Partitions of a consumer that should have an owner, and have none for ten seconds.",
        lambda found: _single(len(found.overdue)),
    ),
    Instrument(
        "messagedb.consumer.processes",
        "gauge",
        "{process}",
        "Live processes that share the partitions of a consumer.",
        lambda found: _single(len(found.members)),
    ),
)
"""Of a partitioned consumer that the store has records of, read from its ``PartitionSetInfo``."""

STORED_CONSUMERS: Final = (
    Instrument(
        "messagedb.consumer.lag",
        "gauge",
        "{message}",
        "Messages behind a consumer's stored position, before filters, at most 100,000.",
        lambda consumer: _single(consumer.lag_messages),
    ),
    Instrument(
        "messagedb.consumer.lag.time",
        "gauge",
        "s",
        "How long the oldest message behind a consumer's stored position has waited.",
        lambda consumer: _single(consumer.lag_seconds or 0.0),
    ),
    Instrument(
        "messagedb.consumer.position",
        "gauge",
        "",
        "Global position of the next message that a consumer handles.",
        lambda consumer: _single(consumer.next_position),
    ),
    Instrument(
        _STATE,
        "gauge",
        "",
        "1 for the state that a consumer is in, and 0 for the others.",
        _by_stored_state,
    ),
    Instrument(
        "messagedb.consumer.report.age",
        "gauge",
        "s",
        "How long ago a consumer last reported to the store.",
        lambda consumer: _single(consumer.report and consumer.report.age),
    ),
    Instrument(
        "messagedb.consumer.running",
        "gauge",
        "",
        "1 if a process holds a consumer's lease.",
        lambda consumer: _single(float(consumer.is_running)),
    ),
    Instrument(
        "messagedb.consumer.parked.current",
        "gauge",
        "{message}",
        "Messages that are parked now, by all members of a consumer's group.",
        lambda consumer: _single(consumer.parked_count),
    ),
)
"""Of a consumer that the store has records of, read from its ``ConsumerInfo``."""


def label_consumers(
    consumers: Iterable[ConsumerStatus | ConsumerInfo | PartitionSetInfo],
) -> list[tuple[dict[str, str], Any]]:
    """Return consumers, each with the label of its name."""
    return [({CONSUMER: each.name}, each) for each in consumers]

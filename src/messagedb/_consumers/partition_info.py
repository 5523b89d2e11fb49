"""The partitions of consumers as a store has them: who owns what, since when, how far behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from .._operations.scan_requests import to_utc
from .consumer_info import ConsumerInfoState
from .consumer_report import ConsumerReport
from .partition_records import numbers_text
from .position_stores import build_consumer_name, position_stream_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .position_waits import Place

    _Lags = dict[int | None, tuple[int, datetime | None]]

__all__ = ["PartitionInfo", "PartitionMemberInfo", "PartitionSetInfo"]

UNOWNED_SECONDS: Final = 10.0
"""A partition that is free for longer is overdue: live processes claim it within two seconds."""

# The first of these that a partition is in is that of the consumer.
_ORDER: Final[tuple[ConsumerInfoState, ...]] = (
    "no report",
    "retrying",
    "reconnecting",
    "stopping",
    "waiting",
    "starting",
    "running",
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class PartitionMemberInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A process that runs a partitioned consumer. Times are in UTC, by the server's clock.

    Example::

        for each in client.list_partitions("order", "shipping").members:
            print(each.name, each.host, each.pid)

    Attributes:
        id: its id, new each time that it joins.
        name: its name: ``member_name``, or host and process.
        host: the name of its host.
        pid: its process there.
        joined_at: the time at which it joined.
        expires_at: the time at which others may have its partitions, unless it renews this before.
    """

    id: str
    name: str
    host: str
    pid: int
    joined_at: datetime
    expires_at: datetime


class PartitionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One partition, as the store knows it. Times are in UTC, by the server's clock.

    Example::

        for each in client.list_partitions("order", "shipping").partitions:
            print(each.number, each.owner, each.next_position, each.lag_messages)

    Attributes:
        number: its number, from 0.
        name: the stream of its positions, or the key of their row.
        owner: the live process that owns it; None if it is free.
        since: the time at which the owner claimed it; None if it is free.
        unowned_since: the time since which it is free; None if it is owned.
        was_given_up: True if it is free because its last owner gave it up, or it had none; False if
            the owner is not heard of any more.
        epoch: how often it was claimed.
        is_finished: True if it has reached the barrier of a change of the size.
        is_release_requested: True if its owner is to give it up, and has not yet.
        next_position: the stored global position of the next message to handle, 1 if it has handled
            none; None if it is not known.
        lag_messages: the number of its messages from there on, before filters; None if it is not
            known. See ``PartitionSetInfo.has_more_lag``.
        lag_seconds: the time for which the first of them has waited; None if there are none.
        problem: the reason why its position is not known; None if it is known.
        report: what the run of it last reported, in whatever process; None if it has not.
    """

    number: int
    name: str
    owner: PartitionMemberInfo | None
    since: datetime | None
    unowned_since: datetime | None
    was_given_up: bool
    epoch: int
    is_finished: bool
    is_release_requested: bool
    next_position: int | None = None
    lag_messages: int | None = None
    lag_seconds: float | None = None
    problem: str | None = None
    report: ConsumerReport | None = None

    @property
    def state(self) -> ConsumerInfoState:
        """Its state: as the run of its owner last reported it, ``running`` without a report.

        If it is free: ``stopped`` or ``failed`` if its last owner gave it up, as that reported its
        end; otherwise ``not running``.
        ``no report``, if the owner lives and its last report is too old.

        Example::

            for each in client.list_partitions("order", "shipping").partitions:
                print(each.number, each.state)
        """
        if self.owner is None:
            has_failed = self.report is not None and self.report.state == "failed"
            given_up: ConsumerInfoState = "failed" if has_failed else "stopped"
            return given_up if self.was_given_up else "not running"
        report = self.report
        # The report of an earlier owner, before the first one of this.
        if report is None or report.has_ended:
            return "running"
        return "no report" if report.is_overdue else report.state


class PartitionSetInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A partitioned consumer, as the store knows it: its processes and its partitions.

    Example::

        for each in client.list_partition_sets("order"):
            print(each.name, each.size, each.state, each.alarm)

    Attributes:
        category: the category that it reads.
        identifier: its identifier.
        size: the number of partitions, which is stored and counts.
        position_store: ``stream`` or ``table``, where the positions are stored.
        members: the live processes, in the order in which they joined.
        partitions: all partitions by number.
        next_size: the size that it is changed to at this moment; None if it is not.
        phase: the phase of that: ``draining`` while the processes give up all partitions,
            ``finishing`` while they run each up to the barrier; None if it is not changed.
        barrier: the global position up to which they run then.
        read_at: the time at which this was read, by the server's clock, in UTC.
        has_more_lag: True if messages after the first 10,000 of the category from the least
            position on are not counted in the lags.
    """

    category: str
    identifier: str
    size: int
    position_store: Literal["stream", "table"]
    members: tuple[PartitionMemberInfo, ...]
    partitions: tuple[PartitionInfo, ...]
    next_size: int | None
    phase: Literal["draining", "finishing"] | None
    barrier: int | None
    read_at: datetime
    has_more_lag: bool = False

    @property
    def state(self) -> ConsumerInfoState:
        """Its state: the one of its owned partitions that needs most attention.

        If no process lives: ``not running`` if one of them died, ``failed`` if the run of a
        partition has ended so, ``stopped`` otherwise.

        Example::

            print(client.list_partitions("order", "shipping").state)
        """
        states = {each.state for each in self.partitions}
        if not self.members:
            if "not running" in states:
                return "not running"
            return "failed" if "failed" in states else "stopped"
        if not self.owned_count:
            return "waiting"
        for state in _ORDER:
            if state in states:
                return state
        return "caught up"

    @property
    def name(self) -> str:
        """The begin of the names of its positions, which is its name in logs and errors.

        Example::

            print(client.list_partitions("order", "shipping").name)
        """
        return position_stream_name(self.category, self.identifier)

    @property
    def next_position(self) -> int | None:
        """The least position of a partition in which messages wait; the largest if none wait.

        A partition without messages stays where it began, which says nothing about the others.
        None if no position is stored.

        Example::

            print(client.list_partitions("order", "shipping").next_position)
        """
        behind = [each.next_position for each in self.partitions if each.lag_messages != 0]
        positions = [each.next_position for each in self.partitions]
        return min(filter(None, behind), default=max(filter(None, positions), default=None))

    @property
    def shown_report(self) -> ConsumerReport | None:
        """The newest report; of a consumer that died or does not report, the oldest of those.

        Example::

            print(client.list_partitions("order", "shipping").shown_report)
        """
        if self.state in ("no report", "not running"):
            missed = [each.report for each in self.partitions if each.state == self.state]
            return min(filter(None, missed), key=_get_time, default=None)
        reports = [each.report for each in self.partitions]
        return max(filter(None, reports), key=_get_time, default=None)

    @property
    def owned_count(self) -> int:
        """The number of partitions that a live process owns.

        Example::

            print(client.list_partitions("order", "shipping").owned_count)
        """
        return sum(each.owner is not None for each in self.partitions)

    @property
    def unowned(self) -> tuple[int, ...]:
        """The numbers of the partitions that are free.

        Example::

            print(client.list_partitions("order", "shipping").unowned)
        """
        return tuple(each.number for each in self.partitions if each.owner is None)

    @property
    def overdue(self) -> tuple[int, ...]:
        """The numbers of partitions that are free for more than ten seconds: an alarm.

        Their messages wait. Live processes should own them, or all processes died. It is empty if
        the processes were stopped, and while the size changes.

        Example::

            print(client.list_partitions("order", "shipping").overdue)
        """
        return tuple(each.number for each in self.partitions if self._is_overdue(each))

    @property
    def alarm(self) -> str | None:
        """A sentence about the partitions of ``overdue``; None if there are none.

        Example::

            print(client.list_partitions("order", "shipping").alarm)
        """
        numbers = self.overdue
        if not numbers:
            return None
        word = "partition" if len(numbers) == 1 else "partitions"
        return (
            f"{self.name}: no process has owned {word} {numbers_text(numbers)} for more than"
            f" {UNOWNED_SECONDS:g} s: the messages of their streams wait"
        )

    @property
    def imbalance(self) -> int:
        """The difference between the most and the fewest partitions of a live process.

        It is at most 1, except while processes come and go.

        Example::

            print(client.list_partitions("order", "shipping").imbalance)
        """
        counts = [self.count_of(each) for each in self.members]
        return max(counts) - min(counts) if counts else 0

    def count_of(self, member: PartitionMemberInfo) -> int:
        """Return the number of partitions that a process owns.

        Example::

            partitions = client.list_partitions("order", "shipping")
            for member in partitions.members:
                print(member.name, partitions.count_of(member))
        """
        return sum(each.owner == member for each in self.partitions)

    def _is_overdue(self, partition: PartitionInfo) -> bool:
        if partition.owner is not None or self.phase is not None:
            return False
        if not self.members and partition.was_given_up:
            return False
        since = partition.unowned_since
        return since is not None and (self.read_at - since).total_seconds() > UNOWNED_SECONDS


class _Member(msgspec.Struct, frozen=True, array_like=True):
    id: str
    name: str
    host: str
    pid: int
    joined_at: int
    expires_at: int


class _Partition(msgspec.Struct, frozen=True, array_like=True):
    number: int
    owner: str | None
    epoch: int
    claimed_at: int | None
    free_since: int | None
    is_finished: bool
    is_release_requested: bool


_members_decoder = msgspec.json.Decoder(list[_Member] | None)
_partitions_decoder = msgspec.json.Decoder(list[_Partition] | None)


def parse_set(row: tuple[Any, ...]) -> PartitionSetInfo:
    """Return the partitioned consumer of a row of ``READ_SETS``, without its positions."""
    category, identifier, size, position_store, next_size, barrier, phase, now, *lists = row
    members = _members_decoder.decode(lists[0] or "null") or []
    partitions = _partitions_decoder.decode(lists[1] or "null") or []
    by_id = {each.id: _build_member(each) for each in members}
    live = {each.id: by_id[each.id] for each in members if each.expires_at > now}
    expiries = {each.id: each.expires_at for each in members if each.id not in live}
    return PartitionSetInfo(
        category=category,
        identifier=identifier,
        size=size,
        position_store=position_store,
        members=tuple(live.values()),
        partitions=tuple(
            _build_partition(each, live, expiries, _name(category, identifier, each.number, size))
            for each in partitions
        ),
        next_size=next_size,
        phase=phase,
        barrier=barrier,
        read_at=_to_time(now),
    )


def add_places(
    found: PartitionSetInfo,
    places: Mapping[str, Place],
    reports: Mapping[str, ConsumerReport],
) -> PartitionSetInfo:
    """Return a partitioned consumer with the stored positions and the reports of its partitions."""
    return _replace(found, (_add_place(found, each, places, reports) for each in found.partitions))


def add_lags(
    found: PartitionSetInfo, rows: Iterable[tuple[Any, ...]], limit: int
) -> PartitionSetInfo:
    """Return a partitioned consumer with the lags of its partitions.

    Args:
        found: the consumer, with its positions.
        rows: those of ``partition_lag``.
        limit: the largest number of messages that was looked at.
    """
    lags: _Lags = {}
    looked_at = 0
    for number, count, oldest, total in rows:
        lags[number] = (count, to_utc(oldest))
        looked_at = total
    changed = _replace(found, (_add_lag(found, each, lags) for each in found.partitions))
    return msgspec.structs.replace(changed, has_more_lag=looked_at >= limit)


def _replace(found: PartitionSetInfo, partitions: Iterable[PartitionInfo]) -> PartitionSetInfo:
    return msgspec.structs.replace(found, partitions=tuple(partitions))


def _add_place(
    found: PartitionSetInfo,
    partition: PartitionInfo,
    places: Mapping[str, Place],
    reports: Mapping[str, ConsumerReport],
) -> PartitionInfo:
    place = places[partition.name]
    is_stream = found.position_store == "stream"
    position = place.in_stream if is_stream else place.in_table
    error = place.stream_error if is_stream else place.table_error
    return msgspec.structs.replace(
        partition,
        next_position=None if error is not None else (position or 0) + 1,
        problem=None if error is None else str(error),
        report=reports.get(partition.name),
    )


def _add_lag(
    found: PartitionSetInfo,
    partition: PartitionInfo,
    lags: _Lags,
) -> PartitionInfo:
    if partition.next_position is None:
        return partition
    count, oldest = lags.get(partition.number, (0, None))
    waiting: float | None = None
    if oldest is not None:
        waiting = max((found.read_at - oldest).total_seconds(), 0.0)
    return msgspec.structs.replace(partition, lag_messages=count, lag_seconds=waiting)


def _build_member(member: _Member) -> PartitionMemberInfo:
    return PartitionMemberInfo(
        id=member.id,
        name=member.name,
        host=member.host,
        pid=member.pid,
        joined_at=_to_time(member.joined_at),
        expires_at=_to_time(member.expires_at),
    )


def _build_partition(
    partition: _Partition,
    live: Mapping[str, PartitionMemberInfo],
    expiries: Mapping[str, int],
    name: str,
) -> PartitionInfo:
    owner = live.get(partition.owner or "")
    claimed_at, free_since = partition.claimed_at, partition.free_since
    if owner is None:
        free_since = expiries.get(partition.owner or "", free_since)
    return PartitionInfo(
        number=partition.number,
        name=name,
        owner=owner,
        since=_to_time(claimed_at) if owner is not None and claimed_at is not None else None,
        unowned_since=_to_time(free_since) if owner is None and free_since is not None else None,
        was_given_up=owner is None and partition.owner is None,
        epoch=partition.epoch,
        is_finished=partition.is_finished,
        is_release_requested=owner is not None and partition.is_release_requested,
    )


def _name(category: str, identifier: str, number: int, size: int) -> str:
    return position_stream_name(category, build_consumer_name(identifier, number, size))


def _to_time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _get_time(report: ConsumerReport) -> datetime:
    return report.reported_at

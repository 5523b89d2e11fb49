"""Rows about partitioned consumers: one for each consumer, or one for each partition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from messagedb._consumers.partition_failures import choose_failed
from messagedb.consumers import (
    ConsumerInfo,
    ConsumerReport,
    PartitionInfo,
    PartitionSetInfo,
)

from ._consumer_rows import build_consumer_row

_Row = dict[str, Any]


def build_status_rows(
    consumers: Iterable[ConsumerInfo], sets: Sequence[PartitionSetInfo], *, has_partitions: bool
) -> list[_Row]:
    """Return the rows of all consumers: those without partitions, and those with.

    Args:
        consumers: all consumers, also the partitions, whose rows are replaced.
        sets: the partitioned ones.
        has_partitions: True for a row of each partition, False for one of each consumer.
    """
    keys = {(each.category, each.identifier) for each in sets}
    members: dict[tuple[str | None, str | None], list[ConsumerInfo]] = {}
    rows: list[_Row] = []
    for consumer in consumers:
        key = (consumer.category, consumer.identifier)
        if key in keys and consumer.group_member is not None:
            members.setdefault(key, []).append(consumer)
        else:
            rows.append(build_consumer_row(consumer))
    for each in sets:
        known = members.get((each.category, each.identifier), [])
        if has_partitions:
            rows += [_build_partition_row(each, partition, known) for partition in each.partitions]
        else:
            rows.append(_build_set_row(each, known))
    return sorted(rows, key=_by_name) if sets else rows


def describe_set(found: PartitionSetInfo) -> str:
    """Return how many partitions are owned, by how many processes, and what goes on.

    Example::

        describe_set(...)  # '14/16 owned, 3 processes, changing to 32'
    """
    count = len(found.members)
    words = [f"{found.owned_count}/{found.size} owned"]
    if count:
        words.append(f"{count} process{'' if count == 1 else 'es'}")
    if found.next_size is not None:
        words.append(f"changing to {found.next_size} ({found.phase})")
    return ", ".join(words)


def _build_set_row(found: PartitionSetInfo, known: Sequence[ConsumerInfo]) -> _Row:
    """Return the row of a partitioned consumer.

    Args:
        found: the consumer.
        known: the same consumer's members in the list of consumers, also retired ones.
    """
    partitions = found.partitions
    waits = [each.lag_seconds for each in partitions if each.lag_seconds is not None]
    failed, failure_state = choose_failed(partitions, known)
    row = {
        **_build_common(found, known, found.shown_report),
        "group_member": None,
        "group_size": None,
        "consumer": found.name,
        "next_position": found.next_position,
        "lag_messages": _count_lag(found, known),
        "lag_seconds": round(max(waits), 3) if waits else None,
        "running": bool(found.members),
        "problem": next((each.problem for each in partitions if each.problem is not None), None),
        "state": found.state,
        "owner": None,
        "since": found.members[0].joined_at if found.members else None,
        "in_flight": _find_in_flight(partitions),
        "last_failure": None if failed is None else failed.last_failure,
        "failure_state": failure_state,
    }
    return {**row, **_describe_partitions(found)}


def _describe_partitions(found: PartitionSetInfo) -> _Row:
    return {
        "partitions": describe_set(found),
        "size": found.size,
        "owned": found.owned_count,
        "unowned": list(found.unowned),
        "overdue": list(found.overdue),
        "next_size": found.next_size,
        "phase": found.phase,
        "processes": [
            {
                "name": each.name,
                "host": each.host,
                "pid": each.pid,
                "joined_at": each.joined_at,
                "owned": found.count_of(each),
            }
            for each in found.members
        ],
    }


def _build_partition_row(
    found: PartitionSetInfo, partition: PartitionInfo, known: Sequence[ConsumerInfo]
) -> _Row:
    report, owner = partition.report, partition.owner
    lag_seconds = partition.lag_seconds
    free_since = partition.unowned_since
    return {
        **_build_common(found, known, report),
        "consumer": partition.name,
        "group_member": partition.number,
        "group_size": found.size,
        "next_position": partition.next_position,
        "lag_messages": partition.lag_messages,
        "lag_seconds": None if lag_seconds is None else round(lag_seconds, 3),
        "running": owner is not None,
        "problem": partition.problem,
        "state": "no owner" if owner is None else partition.state,
        "owner": None if owner is None else owner.name,
        "since": partition.since,
        "in_flight": None if report is None else report.in_flight,
        "last_failure": None if report is None else report.last_failure,
        "failure_state": choose_failed([partition], known)[1],
        "epoch": partition.epoch,
        "unowned_since": free_since,
        "unowned_seconds": None if free_since is None else _seconds_since(found, free_since),
        "release_requested": partition.is_release_requested,
    }


def _build_common(
    found: PartitionSetInfo, known: Sequence[ConsumerInfo], report: ConsumerReport | None
) -> _Row:
    """Return what the rows of a consumer and of its partitions have in common."""
    heads = [each.head for each in known if each.head is not None]
    first = known[0] if known else None
    return {
        "consumer": "",
        "category": found.category,
        "identifier": found.identifier,
        "group_member": None,
        "group_size": None,
        "position_store": found.position_store,
        "next_position": None,
        "head": max(heads, default=None),
        "lag_messages": None,
        "lag_seconds": None,
        "running": False,
        "pid": None,
        # All partitions park into one stream.
        "parked": 0 if first is None else first.parked_count,
        "held_streams": 0 if first is None else first.held_stream_count,
        "behind": 0 if first is None else first.behind_count,
        "saved_at": max((each.saved_at for each in known if each.saved_at), default=None),
        "problem": None,
        "state": None,
        "owner": None,
        "since": None,
        "reported_at": None if report is None else report.reported_at,
        "report_age": None if report is None else round(report.age, 3),
    }


def _find_in_flight(partitions: Iterable[PartitionInfo]) -> Any:
    """Return the message that was tried most often, of these the one that is tried longest."""
    found = [
        each.report.in_flight
        for each in partitions
        if each.owner is not None and each.report is not None and each.report.in_flight is not None
    ]
    return min(found, key=lambda each: (-each.attempt, each.since), default=None)


def _count_lag(found: PartitionSetInfo, known: Sequence[ConsumerInfo]) -> int | None:
    """Return the messages that wait; of very many, those from the least position on."""
    lags = [each.lag_messages for each in found.partitions if each.lag_messages is not None]
    if not lags:
        return None
    current = [each.lag_messages for each in known if each.group_size == found.size]
    return max([sum(lags), *current]) if found.has_more_lag else sum(lags)


def _seconds_since(found: PartitionSetInfo, time: datetime) -> float:
    return round(max((found.read_at - time).total_seconds(), 0.0), 3)


def _by_name(row: _Row) -> tuple[str, str, int]:
    return (row["category"] or "", row["identifier"] or "", row["group_member"] or 0)

"""Partitioned consumers on pages: each is one consumer, and its page shows who owns what."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..._consumers.consumer_info import ConsumerInfo
from ..._consumers.failure_state import FailureState
from ..._consumers.partition_failures import choose_failed
from ..._consumers.partition_info import PartitionInfo, PartitionMemberInfo, PartitionSetInfo
from ..._consumers.partition_records import numbers_text

_GOOD = frozenset({"running", "caught up"})
_BAD = frozenset({"failed", "no report", "not running", "no owner"})


class ProcessRow(msgspec.Struct, frozen=True):
    """A process on the page of partitions.

    Attributes:
        member: the process.
        count: the number of partitions that it owns.
        numbers: their numbers, runs of them shortened.
    """

    member: PartitionMemberInfo
    count: int
    numbers: str


class PartitionRow(msgspec.Struct, frozen=True):
    """A partition on its page.

    Attributes:
        partition: the same.
        state: a word.
        kind: of that: ``good``, ``warn``, ``bad`` or ``""``.
        help: what the word means.
        failure_state: the state of the message of its last failure.
    """

    partition: PartitionInfo
    state: str
    kind: str
    help: str
    failure_state: FailureState | None = None


def build_process_rows(found: PartitionSetInfo) -> list[ProcessRow]:
    """Return the live processes, in the order in which they joined."""
    rows: list[ProcessRow] = []
    for member in found.members:
        numbers = [each.number for each in found.partitions if each.owner == member]
        rows.append(ProcessRow(member, len(numbers), numbers_text(numbers)))
    return rows


def build_partition_rows(
    found: PartitionSetInfo, known: Iterable[ConsumerInfo]
) -> list[PartitionRow]:
    """Return the partitions by number.

    Args:
        found: the consumer.
        known: the consumers of the store, its partitions among them.
    """
    states: dict[str, FailureState | None] = {each.name: each.failure_state for each in known}
    rows: list[PartitionRow] = []
    for each in found.partitions:
        state = each.state if each.owner is not None or not found.members else "no owner"
        kind = "good" if state in _GOOD else "bad" if state in _BAD else "warn"
        if state == "stopped" or (state == "no owner" and each.number not in found.overdue):
            kind = ""
        help = "no live process owns it: its messages wait" if state == "no owner" else ""
        rows.append(PartitionRow(each, state, kind, help, states.get(each.name)))
    return rows


def find_state(found: PartitionSetInfo) -> tuple[str, str, str]:
    """Return the state of a consumer as a word, its kind, and what it means."""
    if found.overdue and found.members:
        return "no owner", "bad", found.alarm or ""
    if found.next_size is not None:
        return "resizing", "warn", f"it changes to {found.next_size} partitions"
    kind = "good" if found.state in _GOOD else "bad" if found.state in _BAD else "warn"
    return found.state, "" if found.state == "stopped" else kind, found.alarm or ""


def fold_partitions(
    consumers: Iterable[ConsumerInfo], sets: Iterable[PartitionSetInfo]
) -> tuple[list[ConsumerInfo], list[tuple[PartitionSetInfo, ConsumerInfo]]]:
    """Divide consumers into those without partitions, and those with, each of which is one."""
    by_key = {(each.category, each.identifier): each for each in sets}
    members: dict[tuple[str | None, str | None], list[ConsumerInfo]] = {}
    others: list[ConsumerInfo] = []
    for each in consumers:
        key = (each.category, each.identifier)
        if key in by_key and each.group_member is not None:
            members.setdefault(key, []).append(each)
        else:
            others.append(each)
    return others, [
        (found, build_info(found, members.get(key, []))) for key, found in by_key.items()
    ]


def build_info(found: PartitionSetInfo, known: list[ConsumerInfo]) -> ConsumerInfo:
    """Return a partitioned consumer as one consumer.

    Args:
        found: the partitions.
        known: the same partitions in the list of consumers, which has what they parked.
    """
    partitions = found.partitions
    waits = [each.lag_seconds for each in partitions if each.lag_seconds is not None]
    parked = known[0] if known else None
    failed, failure_state = choose_failed(partitions, known)
    return ConsumerInfo(
        name=found.name,
        position_store=found.position_store,
        category=found.category,
        identifier=found.identifier,
        group_member=None,
        group_size=None,
        next_position=found.next_position,
        saved_at=max((each.saved_at for each in known if each.saved_at), default=None),
        pid=None,
        head=max((each.head for each in known if each.head is not None), default=None),
        lag_messages=sum(each.lag_messages or 0 for each in partitions),
        lag_seconds=max(waits, default=None),
        parked_count=0 if parked is None else parked.parked_count,
        held_stream_count=0 if parked is None else parked.held_stream_count,
        behind_count=0 if parked is None else parked.behind_count,
        problem=next((each.problem for each in partitions if each.problem is not None), None),
        report=failed or found.shown_report,
        failure_state=failure_state,
    )

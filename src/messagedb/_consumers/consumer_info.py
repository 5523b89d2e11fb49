"""Consumers that a store has records of, found by the names of their positions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import msgspec

from .._errors import MessageDBError
from .._operations.rows import parse_messages
from .._operations.scan_results import Lag
from ..streams.reserved import POSITION, parked_stream_name
from .consumer_report import ConsumerReport, ReportOrigin
from .failure_state import FailureState, find_failure_state
from .position_records import parse_position, parse_retired_position
from .position_stores import derive_lease_keys
from .status import ConsumerState

__all__ = ["ConsumerInfo", "ConsumerInfoState"]

ALL: Final = "all"
"""Replaces the category in the names of a consumer of several categories."""

_MEMBER: Final = re.compile(r"(.*)\+([0-9]+)\+([0-9]+)", re.S).fullmatch


ConsumerInfoState: TypeAlias = ConsumerState | Literal["not running", "no report", "not ours"]
"""The state of a consumer as the store knows it."""


GONE_STATES: Final = frozenset({"not running", "no report", "failed", "stopped"})
"""The states of a consumer whose run is over, or is not heard of."""


class ConsumerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer as the store knows it. It may run in any process, or not run at all.

    Example::

        for each in client.list_consumers("order"):
            print(each.name, each.next_position, each.saved_at)

    Attributes:
        name: the stream of its positions, or the key of its row in the table.
        position_store: ``stream`` or ``table``, where its position is stored.
        category: the category that it reads; None for a consumer of several categories.
        identifier: its identifier, without the group's member and size; None if it has none.
        group_member: its number in its group, from 0; None if it is not in a group.
        group_size: the number of members; None if it is not in a group.
        next_position: the stored global position of the next message to handle, 1 if it has not
            handled any; None if it is not known.
        saved_at: the time at which that was stored, by the server's clock, in UTC.
        pid: the server process that holds its lease while it runs; None if it does not run. A
            consumer with ``lease_timeout=None`` holds no lease.
        head: the last global position of its category, or of the store if it reads several.
        lag_messages: the number of messages of the category from the next one on, at most 100,000:
            before filters, and of all members of a group.
        lag_seconds: the time for which the first of them has waited, by the server's clock; None if
            there are none.
        parked_count: the number of messages that it has parked, in all members of its group.
        held_stream_count: the number of streams that wait for a parked message.
        behind_count: the number of messages that are parked behind those, unhandled; they are in
            ``parked_count``, too.
        resized_to: the number of members that its group has now, if it is of an earlier size; None
            otherwise. It is listed only if it has run since, and its lag is not counted.
        problem: the reason why its position or its lag is not known; None if both are known.
        report: what it last reported about its run; None if it has not, because it is of another
            library or an older version, or its role may not write ``messagedb.consumer_status``.
        failure_state: the state of the message of the report's ``last_failure``. ``open``: it is
            not handled yet. ``parked``: it is parked. ``passed``: the consumer went on, as a later
            attempt or a replay handled it, or it was skipped or discarded. None without a failure.
    """

    name: str
    position_store: Literal["stream", "table"]
    category: str | None
    identifier: str | None
    group_member: int | None
    group_size: int | None
    next_position: int | None
    saved_at: datetime | None
    pid: int | None
    head: int | None = None
    lag_messages: int = 0
    lag_seconds: float | None = None
    parked_count: int = 0
    held_stream_count: int = 0
    behind_count: int = 0
    resized_to: int | None = None
    problem: str | None = None
    report: ConsumerReport | None = None
    failure_state: FailureState | None = None

    @property
    def state(self) -> ConsumerInfoState:
        """Its state.

        As it last reported it, unless that is contradicted: ``not running``, if no process holds
        its lease; ``no report``, if the last one is too old, because its process hangs, is paused,
        died without a lease, or cannot reach the store. Without a report: ``running`` or
        ``stopped`` by its lease; ``not ours``, if its positions may be of another library, whose
        consumers hold no lease. So is a position that a command has set for a consumer that has not
        run yet.

        Example::

            print([each.name for each in client.list_consumers() if each.state == "retrying"])
        """
        report = self.report
        if report is None:
            if self.is_running:
                return "running"
            return "stopped" if self.position_store == "table" else "not ours"
        if report.has_ended:
            return "running" if self.is_running else report.state
        if not self.is_running and report.has_lease:
            return "not running"
        return "no report" if report.is_overdue else report.state

    @property
    def is_running(self) -> bool:
        """True if a process holds its lease.

        Example::

            print([each.name for each in client.list_consumers() if not each.is_running])
        """
        return self.pid is not None

    @property
    def parked_stream(self) -> str:
        """The stream of its parked messages.

        Example::

            for each in client.list_consumers():
                print(client.stream_version(each.parked_stream) + 1, "parked by", each.name)
        """
        return parked_stream_name(self.category or ALL, self.identifier)


def consumer_from_record(
    row: tuple[Any, ...], pids: Mapping[tuple[int, int], int], schema: str
) -> ConsumerInfo:
    """Return the consumer of its last position record, a row with the columns of messages."""
    (record,) = parse_messages([row], decimals=False)
    next_position: int | None = None
    problem: str | None = None
    try:
        next_position = (parse_position(record, record.stream_name) or 0) + 1
    except MessageDBError as error:
        problem = str(error)
    retired = parse_retired_position(record)
    return _build_info(
        record.stream_name,
        "stream",
        pids,
        schema,
        next_position=next_position,
        saved_at=record.time,
        resized_to=None if retired is None else retired[1],
        problem=problem,
    )


def consumer_from_row(
    name: str,
    position: int,
    saved_at: datetime,
    resized_to: int | None,
    pids: Mapping[tuple[int, int], int],
    schema: str,
) -> ConsumerInfo:
    """Return the consumer of a row of the table of positions."""
    problem = None if resized_to is None else f"its group was resized to {resized_to} members"
    return _build_info(
        name,
        "table",
        pids,
        schema,
        next_position=position + 1,
        saved_at=saved_at,
        resized_to=resized_to,
        problem=problem,
    )


_UNKNOWN_LAG = (
    "it reads the whole store, whose messages the role may not read, or which is on several nodes: "
    "its lag is not known"
)


def parse_lease_holders(rows: Iterable[tuple[Any, ...]]) -> dict[tuple[int, int], int]:
    """Return the server processes by the advisory locks, pairs of integers, that they hold."""
    return {(to_signed(first), to_signed(second)): pid for first, second, pid in rows}


def add_measurements(
    consumer: ConsumerInfo,
    lag: Lag | None,
    parked: tuple[int, int, int],
    *,
    has_parked_failure: bool,
) -> ConsumerInfo:
    """Return the consumer with its lag, and with the row of ``COUNT_PARKED``.

    Args:
        consumer: the consumer.
        lag: its lag; None if the role may not count messages of the whole store.
        parked: the row.
        has_parked_failure: whether the message of its last failure is parked.
    """
    parked_count, held_stream_count, held_count = parked
    consumer = msgspec.structs.replace(
        consumer,
        parked_count=parked_count,
        held_stream_count=held_stream_count,
        behind_count=held_count - held_stream_count,
        failure_state=find_failure_state(
            consumer.report,
            consumer.next_position,
            consumer.saved_at,
            is_running=consumer.is_running,
            is_parked=has_parked_failure,
        ),
    )
    if lag is None:
        return msgspec.structs.replace(consumer, problem=consumer.problem or _UNKNOWN_LAG)
    waiting_seconds = (
        None if lag.oldest is None else max((lag.now - lag.oldest).total_seconds(), 0.0)
    )
    return msgspec.structs.replace(
        consumer,
        head=lag.head,
        lag_messages=lag.messages,
        lag_seconds=waiting_seconds,
    )


def add_reports(
    consumers: Iterable[ConsumerInfo],
    reports: Iterable[tuple[ReportOrigin, ConsumerReport]],
    pids: Mapping[tuple[int, int], int],
    schema: str,
) -> list[ConsumerInfo]:
    """Return the consumers with their reports, and then those that only have a report."""
    by_name = {origin.name: (origin, report) for origin, report in reports}
    merged: list[ConsumerInfo] = []
    for consumer in consumers:
        found = by_name.pop(consumer.name, None)
        report = None if found is None else found[1]
        merged.append(msgspec.structs.replace(consumer, report=report))
    for origin, report in by_name.values():
        merged.append(_build_info_from_report(origin, report, pids, schema))
    return merged


def is_replaced(consumer: ConsumerInfo) -> bool:
    """Return True if a consumer is of an earlier size of its group, and has not run since.

    One that was started again by mistake has ended with an error since: that is to be seen.
    """
    if consumer.resized_to is None or consumer.is_running:
        return False
    report, resized_at = consumer.report, consumer.saved_at
    return report is None or resized_at is None or report.reported_at <= resized_at


def split_position_stream(name: str) -> tuple[str | None, str | None]:
    """Parse category and identifier from the name of a position stream.

    Example::

        split_position_stream("account:command+position-mail+0+3")
        # → ('account:command', 'mail+0+3')
    """
    category_part, dash, identifier = name.partition("-")
    base, _, type_part = category_part.partition(":")
    types = [each for each in type_part.split("+") if each != POSITION]
    category = f"{base}:{'+'.join(types)}" if types and types != [""] else base
    category = category or ":"  # the only category with such a name that has no base and no types
    return (None if category == ALL else category), identifier if dash else None


def find_parked_stream(name: str) -> str:
    """Return the stream of the parked messages of a consumer, from the name of its positions."""
    category, identifier = split_position_stream(name)
    member = _MEMBER(identifier or "")
    return parked_stream_name(category or ALL, member[1] if member else identifier)


def _build_info(
    name: str,
    position_store: Literal["stream", "table"],
    pids: Mapping[tuple[int, int], int],
    schema: str,
    *,
    next_position: int | None,
    saved_at: datetime,
    resized_to: int | None,
    problem: str | None,
) -> ConsumerInfo:
    category, identifier = split_position_stream(name)
    member = _MEMBER(identifier or "")
    return ConsumerInfo(
        name=name,
        position_store=position_store,
        category=category,
        identifier=member[1] if member else identifier,
        group_member=int(member[2]) if member else None,
        group_size=int(member[3]) if member else None,
        next_position=next_position,
        saved_at=saved_at,
        pid=pids.get(derive_lease_keys(f"{schema} {name}")),
        resized_to=resized_to,
        problem=problem,
    )


def _build_info_from_report(
    origin: ReportOrigin,
    report: ConsumerReport,
    pids: Mapping[tuple[int, int], int],
    schema: str,
) -> ConsumerInfo:
    return ConsumerInfo(
        name=origin.name,
        position_store=origin.position_store,
        category=origin.category,
        identifier=origin.identifier,
        group_member=origin.group_member,
        group_size=origin.group_size,
        next_position=None,
        saved_at=None,
        pid=pids.get(derive_lease_keys(f"{schema} {origin.name}")),
        report=report,
    )


def to_signed(value: int) -> int:
    """Return an oid, which the server shows as unsigned, as the signed integer that was sent."""
    return value - 0x100000000 if value >= 0x80000000 else value

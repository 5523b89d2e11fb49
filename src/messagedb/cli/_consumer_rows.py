"""Rows about consumers, and the check whether one of them lags too far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from messagedb.consumers import ConsumerInfo, ParkedMessage

from ._layout import Column, Row

COLUMNS = ("consumer", "next_position", "head", "lag_messages", "lag_seconds", "running", "parked")
"""Columns of the position of a consumer on a terminal."""

NOT_RUNNING: Final = frozenset({"stopped", "failed", "not running", "no report", "not ours"})
"""The states of a consumer of which no run is known."""


def _describe_wait(row: Row) -> str | None:
    """Return the position that a message waits for, also 0."""
    position = row["waits_for"]
    return None if position is None else str(position)


PARKED_COLUMNS: Final[tuple[Column | str, ...]] = (
    "id",
    "message",
    "type",
    Column("waits_for", value=_describe_wait, is_optional=True),
    Column("behind", is_optional=True),
    "reason",
)
"""Columns of parked messages on a terminal."""


def build_consumer_row(consumer: ConsumerInfo) -> dict[str, Any]:
    """Return a consumer as a row, with everything that is known of it."""
    report = consumer.report
    return {
        "consumer": consumer.name,
        "category": consumer.category,
        "identifier": consumer.identifier,
        "group_member": consumer.group_member,
        "group_size": consumer.group_size,
        "position_store": consumer.position_store,
        "next_position": consumer.next_position,
        "head": consumer.head,
        "lag_messages": consumer.lag_messages,
        "lag_seconds": None if consumer.lag_seconds is None else round(consumer.lag_seconds, 3),
        "running": _is_running(consumer),
        "pid": consumer.pid,
        "parked": consumer.parked_count,
        "held_streams": consumer.held_stream_count,
        "behind": consumer.behind_count,
        "saved_at": consumer.saved_at,
        "problem": consumer.problem,
        "state": consumer.state,
        "owner": None if report is None else f"{report.host}:{report.pid}",
        "since": None if report is None else report.started_at,
        "reported_at": None if report is None else report.reported_at,
        "report_age": None if report is None else round(report.age, 3),
        "in_flight": None if report is None else report.in_flight,
        "last_failure": None if report is None else report.last_failure,
        "failure_state": consumer.failure_state,
    }


def _is_running(consumer: ConsumerInfo) -> bool:
    """Return True if it holds its lease, or reports a run: one without a lease can do only that."""
    return consumer.is_running or consumer.state not in NOT_RUNNING


def find_lagging(rows: Iterable[Row], messages: int | None, seconds: float | None) -> list[str]:
    """Return a sentence for each consumer that lags by more than the limits; empty if none does."""
    found: list[str] = []
    for each in rows:
        if messages is not None and (each["lag_messages"] or 0) > messages:
            count = each["lag_messages"]
            noun = "message" if count == 1 else "messages"
            found.append(f"{each['consumer']} is {count:,} {noun} behind")
        elif seconds is not None and (each["lag_seconds"] or 0) > seconds:
            found.append(f"{each['consumer']} is {each['lag_seconds']:,.1f} seconds behind")
    return found


def build_parked_row(parked: ParkedMessage) -> dict[str, Any]:
    """Return a parked message as a row."""
    return {
        "id": parked.message_id,
        "message": f"{parked.stream_name}/{parked.position}",
        "global_position": parked.global_position,
        "stream_name": parked.stream_name,
        "position": parked.position,
        "type": parked.type,
        "attempts": parked.attempts,
        "time": parked.time,
        "holds_stream": parked.holds_stream,
        "waits_for": parked.waits_for,
        "behind": parked.behind_count if parked.holds_stream else None,
        "reason": parked.reason,
    }

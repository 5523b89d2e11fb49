"""The table of consumers: who runs, how far behind, at which message, with which error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from ._consumer_rows import NOT_RUNNING
from ._layout import Column, Row

_STYLES: Final = {
    "running": "green",
    "caught up": "green",
    "starting": "yellow",
    "waiting": "yellow",
    "retrying": "yellow",
    "reconnecting": "yellow",
    "stopping": "yellow",
    "failed": "bold red",
    "no owner": "bold red",
    "not running": "bold red",
    "no report": "bold red",
    "stopped": "dim",
    "not ours": "dim",
}
_ENDED: Final = frozenset({"stopped", "failed"})
_FAILURE_STATES: Final = {"parked": ", parked", "passed": ", passed since"}
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def describe_seconds(seconds: float) -> str:
    """Return a time in its largest unit that has at least two of it.

    Example::

        describe_seconds(150)  # '2 min'
    """
    for length, unit in _UNITS:
        if seconds >= 2 * length:
            return f"{int(seconds / length)} {unit}"
    return f"{int(seconds)} s"


def describe_state(row: Row) -> str:
    """Return the state of a consumer with the age of its last report, where that matters."""
    state: str = row["state"]
    if state == "no owner":
        free: float | None = row["unowned_seconds"]
        return state if free is None else f"{state} for {describe_seconds(free)}"
    if row["report_age"] is None or state == "not ours":
        return state
    age = describe_seconds(row["report_age"])
    if state == "no report":
        return f"no report for {age}"
    if state == "not running":
        return f"not running (last report {age} ago)"
    return f"{state} {age} ago" if state in _ENDED else state


def summarize(rows: Iterable[Row]) -> str:
    """Return how many consumers are in each state."""
    states = Counter(row["state"] for row in rows)
    count = states.total()
    details = ", ".join(f"{number} {state}" for state, number in states.most_common())
    return f"{count} consumer{'' if count == 1 else 's'}: {details}"


def _name_category(row: Row) -> str:
    return row["category"] or "(several)"


def _name_identifier(row: Row) -> str | None:
    identifier: str | None = row["identifier"]
    if row["group_size"] is None:
        return identifier
    return f"{identifier} {row['group_member']} of {row['group_size']}"


def _describe_owner(row: Row) -> str | None:
    """Return the process that runs it, or that ran it without an end."""
    owner: str | None = row["owner"]
    return None if row["state"] in _ENDED else owner


def _find_start(row: Row) -> datetime | None:
    start: datetime | None = row["since"]
    return None if row["state"] in _ENDED else start


def _describe_in_flight(row: Row) -> str | None:
    in_flight = row["in_flight"]
    if in_flight is None:
        return None
    attempt = f", attempt {in_flight.attempt}" if in_flight.attempt > 1 else ""
    message = f"{in_flight.stream_name}/{in_flight.position}{attempt}"
    if row["state"] in NOT_RUNNING:
        return f"was at {message}"
    return f"{message}, for {describe_seconds(_find_age(row, in_flight.since))}"


def _describe_failure(row: Row) -> str | None:
    failure = row["last_failure"]
    if failure is None:
        return None
    age = describe_seconds(_find_age(row, failure.failed_at))
    note = _FAILURE_STATES.get(row.get("failure_state") or "", "")
    return (
        f"{failure.stream_name}/{failure.position}, attempt {failure.attempt}, {age} ago{note}:"
        f" {failure.error}"
    )


def _count_held(row: Row) -> int | None:
    """Return how many streams wait for a parked message; None for none."""
    return row.get("held_streams") or None


def _find_age(row: Row, time: datetime) -> float:
    """Return the seconds since a time by the server's clock, until the list was read."""
    reported_at: datetime = row["reported_at"]
    age: float = row["report_age"]
    return max((reported_at - time).total_seconds() + age, 0.0)


def _color(state: Any) -> str:
    return _STYLES.get(state, "")


STATUS_COLUMNS: Final = (
    Column("category", value=_name_category),
    Column("identifier", value=_name_identifier),
    Column("state", value=describe_state, style=_color),
    Column("partitions", is_optional=True),
    Column("owner", value=_describe_owner, is_optional=True),
    Column("since", value=_find_start, is_optional=True),
    Column("next_position"),
    Column("lag_messages", label="lag"),
    Column("lag_seconds", label="lag seconds"),
    Column("parked"),
    Column("held_streams", label="held", value=_count_held, is_optional=True),
    Column("in_flight", value=_describe_in_flight, is_optional=True),
    Column("last_failure", value=_describe_failure, is_optional=True),
)
"""Columns of consumers on a terminal."""

"""The last report of a consumer about its run, as every process can read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import msgspec

from .status import ConsumerState

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ConsumerFailure", "ConsumerReport", "InFlightMessage"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_MISSED_REPORTS: Final = 2
"""So many intervals without a report mean that the process does not report any more."""

_ENDED: Final = frozenset({"stopped", "failed"})


class InFlightMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a handler was processing, or that is tried again.

    Example::

        for each in client.list_consumers():
            if each.report and each.report.in_flight:
                print(each.name, each.report.in_flight.stream_name, each.report.in_flight.attempt)

    Attributes:
        stream_name: its stream.
        position: its position there.
        attempt: the number of the attempt.
        since: the time of its first failed attempt; before one, the time of the first report that
            it was in. In UTC, by the server's clock.
    """

    stream_name: str
    position: int
    attempt: int
    since: datetime


class ConsumerFailure(msgspec.Struct, frozen=True, kw_only=True):
    """The last failed attempt of a consumer to handle a message, also if a later one succeeded.

    Example::

        for each in client.list_consumers():
            if each.report and each.report.last_failure:
                print(each.name, each.report.last_failure.error)

    Attributes:
        stream_name: the message's stream.
        position: its position there.
        global_position: its global position.
        message_id: its id.
        type: its type.
        attempt: the number of the attempt.
        error: the error or the reason in one line, at most 500 characters.
        failed_at: the time, in UTC, by the server's clock.
    """

    stream_name: str
    position: int
    global_position: int
    message_id: UUID
    type: str
    attempt: int
    error: str
    failed_at: datetime


class ConsumerReport(msgspec.Struct, frozen=True, kw_only=True):
    """The last report of a consumer: it reports every few seconds and at each failure.

    Times are in UTC, by the server's clock.

    Example::

        for each in client.list_consumers():
            if each.report is not None:
                print(each.name, each.report.host, each.report.state)

    Attributes:
        host: the name of the host that it runs or ran on.
        pid: its process there.
        started_at: the time at which the run began.
        reported_at: the time of the report.
        age: the seconds from then until it was read.
        interval: the seconds between two of its reports.
        state: its state, as in ``ConsumerStatus``.
        next_position: the global position of the next message to handle; None before it has begun.
        lag_messages: the number of messages behind, as in ``ConsumerStatus``.
        lag_seconds: the time for which the oldest of them had waited.
        in_flight: the message that it was handling; of several the first one that failed, or else
            the first one.
        last_failure: its last failed attempt, also of an earlier run; None if none is known.
        has_lease: whether its run holds a lease while it runs.
    """

    host: str
    pid: int
    started_at: datetime
    reported_at: datetime
    age: float
    interval: float
    state: ConsumerState
    next_position: int | None
    lag_messages: int | None
    lag_seconds: float | None
    in_flight: InFlightMessage | None
    last_failure: ConsumerFailure | None
    has_lease: bool

    @property
    def has_ended(self) -> bool:
        """True if it reported that its run has ended.

        Example::

            for each in client.list_consumers():
                if each.report is not None and each.report.has_ended:
                    print(each.name, "has ended")
        """
        return self.state in _ENDED

    @property
    def is_overdue(self) -> bool:
        """True if two reports are missing: its process hangs, died or cannot reach the store.

        Example::

            for each in client.list_consumers():
                if each.report is not None and each.report.is_overdue:
                    print(each.name, "has not reported for a while")
        """
        return not self.has_ended and self.age > _MISSED_REPORTS * self.interval

    @property
    def has_passed_failure(self) -> bool:
        """True if it was beyond the message of its last failure when it reported.

        Example::

            for each in client.list_consumers():
                if each.report is not None and each.report.last_failure is not None:
                    print(each.name, each.report.has_passed_failure)
        """
        failure, next_position = self.last_failure, self.next_position
        return (
            failure is not None
            and next_position is not None
            and next_position > failure.global_position
        )


class ReportOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """The consumer that a report is of.

    Attributes:
        name: the stream of its positions, or the key of its row in the table.
        category: the category that it reads; None for a consumer of several categories.
        identifier: its identifier; None if it has none.
        group_member: its number in its group; None if it is not in one.
        group_size: the size of the group.
        position_store: ``stream`` or ``table``.
    """

    name: str
    category: str | None
    identifier: str | None
    group_member: int | None
    group_size: int | None
    position_store: Literal["stream", "table"]


def parse_report(row: tuple[Any, ...]) -> tuple[ReportOrigin, ConsumerReport]:
    """Return the consumer and its report from a row of ``ALL_REPORTS``."""
    values = iter(row)
    name, category, identifier, member, size, position_store, has_lease = _take(values, 7)
    origin = ReportOrigin(
        name=name,
        category=category,
        identifier=identifier,
        group_member=member,
        group_size=size,
        position_store=position_store,
    )
    host, pid, started_at, reported_at, age, interval = _take(values, 6)
    state, next_position, lag_messages, lag_seconds = _take(values, 4)
    report = ConsumerReport(
        host=host,
        pid=pid,
        started_at=_to_time(started_at),
        reported_at=_to_time(reported_at),
        age=max(age, 0) / 1_000_000,
        interval=interval / 1_000_000,
        state=state,
        next_position=next_position,
        lag_messages=lag_messages,
        lag_seconds=None if lag_seconds is None else lag_seconds / 1_000_000,
        in_flight=_parse_in_flight(_take(values, 4)),
        last_failure=_parse_failure(_take(values, 8)),
        has_lease=has_lease,
    )
    return origin, report


def _take(values: Iterator[Any], count: int) -> list[Any]:
    return [next(values) for _ in range(count)]


def _parse_in_flight(values: list[Any]) -> InFlightMessage | None:
    stream_name, position, attempt, since = values
    if stream_name is None:
        return None
    return InFlightMessage(
        stream_name=stream_name, position=position, attempt=attempt, since=_to_time(since)
    )


def _parse_failure(values: list[Any]) -> ConsumerFailure | None:
    stream_name, position, global_position, message_id, type, attempt, error, failed_at = values
    if stream_name is None:
        return None
    return ConsumerFailure(
        stream_name=stream_name,
        position=position,
        global_position=global_position,
        message_id=UUID(message_id),
        type=type,
        attempt=attempt,
        error=error,
        failed_at=_to_time(failed_at),
    )


def _to_time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)

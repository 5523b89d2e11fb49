"""The state of the message of a last failure, by the newest of report and stored position."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from messagedb._consumers.failure_state import FailureState, find_failure_state
from messagedb._consumers.partition_failures import choose_failed
from messagedb.consumers import ConsumerFailure, ConsumerInfo, ConsumerReport, PartitionInfo

NOW = datetime(2026, 12, 1, tzinfo=UTC)
BEFORE, AFTER = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)
FAILURE = ConsumerFailure(
    stream_name="a-1",
    position=4,
    global_position=40,
    message_id=UUID(int=1),
    type="A",
    attempt=1,
    error="ValueError: x",
    failed_at=NOW,
)
REPORT = ConsumerReport(
    host="h",
    pid=1,
    started_at=NOW,
    reported_at=NOW,
    age=1.0,
    interval=2.0,
    state="running",
    next_position=40,
    lag_messages=0,
    lag_seconds=0.0,
    in_flight=None,
    last_failure=FAILURE,
    has_lease=True,
)


def make(
    stored: int | None, reported: int | None, saved_at: datetime | None, pid: int | None
) -> ConsumerInfo:
    return ConsumerInfo(
        name="a:position-b",
        position_store="stream",
        category="a",
        identifier="b",
        group_member=None,
        group_size=None,
        next_position=stored,
        saved_at=saved_at,
        pid=pid,
        report=msgspec.structs.replace(REPORT, next_position=reported),
    )


def find(info: ConsumerInfo, *, is_parked: bool) -> FailureState | None:
    return find_failure_state(
        info.report,
        info.next_position,
        info.saved_at,
        is_running=info.is_running,
        is_parked=is_parked,
    )


@pytest.mark.parametrize(
    ("stored", "reported", "saved_at", "pid", "state"),
    [
        (1, 40, BEFORE, None, "open"),
        (1, 41, BEFORE, None, "passed"),
        (None, 41, None, None, "passed"),
        (None, 40, None, None, "open"),
        (41, None, BEFORE, 7, "passed"),
        (None, None, None, 7, "open"),
        # Its position was set after its last report.
        (41, 40, AFTER, None, "passed"),
        (1, 41, AFTER, None, "open"),
        # A run stores its position later than it reports it.
        (1, 41, AFTER, 7, "passed"),
        (41, 1, BEFORE, 7, "passed"),
    ],
)
def test_the_newest_position_decides(
    stored: int | None, reported: int | None, saved_at: datetime | None, pid: int | None, state: str
) -> None:
    assert find(make(stored, reported, saved_at, pid), is_parked=False) == state


def test_a_parked_message_is_not_passed() -> None:
    assert find(make(1, 41, BEFORE, None), is_parked=True) == "parked"


def test_there_is_none_without_a_failure() -> None:
    quiet = msgspec.structs.replace(REPORT, last_failure=None)
    for report in (None, quiet):
        info = msgspec.structs.replace(make(1, 1, NOW, None), report=report)
        assert find(info, is_parked=False) is None


def make_partition(number: int, failed_at: datetime | None) -> PartitionInfo:
    failure = None
    if failed_at is not None:
        failure = msgspec.structs.replace(FAILURE, failed_at=failed_at)
    return PartitionInfo(
        number=number,
        name=f"a:position-b+{number}+3",
        owner=None,
        since=None,
        unowned_since=None,
        was_given_up=True,
        epoch=1,
        is_finished=False,
        is_release_requested=False,
        report=msgspec.structs.replace(REPORT, pid=number, last_failure=failure),
    )


@pytest.mark.parametrize(
    ("states", "number", "state"),
    [
        ((None, "open", "passed"), 1, "open"),
        ((None, "passed", "open"), 2, "open"),
        ((None, "passed", "passed"), 2, "passed"),
        ((None, "parked", "passed"), 1, "parked"),
    ],
)
def test_of_the_failures_of_partitions_one_that_is_not_passed_matters_most(
    states: tuple[Any, ...], number: int, state: str
) -> None:
    partitions = [make_partition(0, None), make_partition(1, BEFORE), make_partition(2, NOW)]
    known = [
        msgspec.structs.replace(make(1, 1, NOW, None), name=each.name, failure_state=found)
        for each, found in zip(partitions, states, strict=True)
    ]
    report, found = choose_failed(partitions, known)
    assert report is not None
    assert (report.pid, found) == (number, state)


def test_of_failures_of_which_nothing_is_known_the_last_one_matters() -> None:
    assert choose_failed([make_partition(0, None)], []) == (None, None)
    report, state = choose_failed([make_partition(0, NOW), make_partition(1, BEFORE)], [])
    assert (report and report.pid, state) == (0, None)

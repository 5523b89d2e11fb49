"""Reports of consumers: which runs report next, what they say, and how it is read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from messagedb import Message
from messagedb._consumers.consumer_info import ConsumerInfo
from messagedb._consumers.consumer_report import ConsumerReport
from messagedb._consumers.counters import Counters
from messagedb._consumers.failure_log import FailureLog
from messagedb._consumers.report_schedule import (
    FIRST_SECONDS,
    MAX_ROWS,
    REPORT_SECONDS,
    URGENT_SECONDS,
    ReportSchedule,
    RunReport,
)
from messagedb._consumers.settings import ConsumerSettings
from messagedb._consumers.status import RunSnapshot
from messagedb.testing import make_message

NOW = datetime(2026, 12, 1, tzinfo=UTC)


class Run:
    """A run whose state and message are set."""

    def __init__(self, **settings: Any) -> None:
        self.state: Any = "running"
        self.message: Message[Any] | None = None
        self.failures = FailureLog()
        options: dict[str, Any] = {"category": "a", "categories": None, "identifier": "b"}
        self.report = RunReport(
            ConsumerSettings(**options | settings),
            Counters(),
            self.failures,
            self._take_snapshot,
            lambda: self.message,
            lambda: True,
            0.0,
        )

    def _take_snapshot(self) -> RunSnapshot:
        return RunSnapshot(
            state=self.state,
            position=6,
            stored_position=None,
            lag=None,
            measured_at=None,
            current_message=None,
            waits_for=(),
        )


def schedule_of(count: int) -> tuple[ReportSchedule, list[RunReport]]:
    reports = [Run().report for _ in range(count)]
    schedule = ReportSchedule()
    schedule.reports.update(dict.fromkeys(reports))
    return schedule, reports


def write(schedule: ReportSchedule, now: float) -> int:
    """Write what is due, and return how many it is."""
    selected = schedule.select(now)
    for report in selected:
        report.note_attempt(now)
    return len(selected)


def test_a_run_reports_soon_after_its_begin_and_then_every_two_seconds() -> None:
    schedule, _ = schedule_of(1)
    assert schedule.find_next_time() == FIRST_SECONDS
    assert write(schedule, 0.3) == 1
    assert schedule.find_next_time() == 0.3 + REPORT_SECONDS
    assert write(schedule, 0.4) == 0


def test_runs_that_began_one_after_the_other_report_together() -> None:
    schedule, reports = schedule_of(3)
    for n, report in enumerate(reports):
        report.attempted_at = n * 0.3
    assert write(schedule, REPORT_SECONDS) == 3


def test_what_is_urgent_comes_soon_but_not_each_time() -> None:
    schedule, (report, _) = schedule_of(2)
    write(schedule, 10.0)
    report.is_urgent = True
    assert schedule.find_next_time() == 10.0 + URGENT_SECONDS
    assert write(schedule, 10.5) == 1
    assert not report.is_urgent


def test_a_run_that_ends_reports_it_immediately_and_once() -> None:
    schedule, (report,) = schedule_of(1)
    write(schedule, 10.0)
    report.is_final = True
    assert schedule.find_next_time() < 10.0
    assert write(schedule, 10.0) == 1
    assert report.is_done
    assert write(schedule, 100.0) == 0
    assert schedule.find_next_time() == float("inf")


def test_a_thousand_runs_report_in_turn_and_each_says_how_often() -> None:
    count = 1000
    schedule, reports = schedule_of(count)
    assert schedule.interval == REPORT_SECONDS * count / MAX_ROWS
    now, written = 100.0, 0
    while written < count:
        number = write(schedule, now)
        assert 0 < number <= MAX_ROWS
        written += number
    assert all(report.attempted_at == now for report in reports)
    # One that fails does not wait for its turn.
    reports[-1].is_urgent = True
    assert schedule.select(101.0) == [reports[-1]]


def test_all_ends_are_written_however_many_there_are() -> None:
    schedule, reports = schedule_of(MAX_ROWS * 2)
    for report in reports:
        report.is_final = True
    assert write(schedule, 10.0) == MAX_ROWS * 2


def test_a_row_names_the_consumer_its_process_and_its_place() -> None:
    run = Run(group_member=1, group_size=3, lease_timeout=None)
    row = run.report.build_row(2.5, 2.0)
    assert (row["consumer"], row["category"], row["identifier"]) == ("a:position-b+1+3", "a", "b")
    assert (row["group_member"], row["group_size"], row["has_lease"]) == (1, 3, False)
    assert (row["state"], row["next_position"], row["started_before"]) == ("running", 7, 2.5)
    assert "in_flight_stream" not in row
    assert "failed_stream" not in row


def test_a_message_is_in_flight_since_it_was_first_seen() -> None:
    run = Run()
    run.message = make_message("a-1", "A", position=4)
    assert run.report.build_row(1.0, 2.0)["in_flight_for"] == 0.0
    row = run.report.build_row(61.0, 2.0)
    assert (row["in_flight_stream"], row["in_flight_position"]) == ("a-1", 4)
    assert (row["in_flight_attempt"], row["in_flight_for"]) == (1, 60.0)
    run.message = make_message("a-1", "A", position=5)
    assert run.report.build_row(62.0, 2.0)["in_flight_for"] == 0.0


def test_a_message_that_is_retried_is_in_flight_since_its_first_failure() -> None:
    run = Run()
    failed = make_message("a-1", "A", position=4, global_position=40)
    other = make_message("a-2", "A", position=0, global_position=50)
    run.failures.note(other, 7, "ValueError: x", 5.0)
    run.failures.note(failed, 1, "ValueError: y", 10.0)
    run.failures.note(failed, 2, "ValueError: z", 12.0)
    run.message = other
    row = run.report.build_row(20.0, 2.0)
    assert (row["in_flight_position"], row["in_flight_attempt"]) == (4, 2)
    assert row["in_flight_for"] == 10.0
    assert (row["failed_error"], row["failed_before"]) == ("ValueError: z", 8.0)
    assert (row["failed_attempt"], row["failed_message_id"]) == (2, str(failed.id))
    run.failures.forget(failed)
    row = run.report.build_row(21.0, 2.0)
    assert (row["in_flight_stream"], row["in_flight_attempt"]) == ("a-2", 7)
    assert row["failed_error"] == "ValueError: z"


@pytest.mark.parametrize(("state", "said"), [("stopping", "stopped"), ("failed", "failed")])
def test_the_last_report_has_no_message_in_flight(state: str, said: str) -> None:
    run = Run()
    run.state, run.message = state, make_message("a-1", "A")
    run.report.is_final = True
    row = run.report.build_row(1.0, 2.0)
    assert row["state"] == said
    assert "in_flight_stream" not in row


def test_a_long_error_is_cut() -> None:
    run = Run()
    run.failures.note(make_message("a-1", "A"), 1, "x" * 2000, 0.0)
    assert run.report.build_row(1.0, 2.0)["failed_error"] == "x" * 499 + "…"


def test_a_name_that_does_not_fit_into_the_index_is_not_reported() -> None:
    assert Run(identifier="b" * 1900).report.is_possible
    assert not Run(identifier="b" * 2000).report.is_possible


REPORT = ConsumerReport(
    host="h",
    pid=1,
    started_at=NOW,
    reported_at=NOW,
    age=1.0,
    interval=2.0,
    state="running",
    next_position=1,
    lag_messages=0,
    lag_seconds=0.0,
    in_flight=None,
    last_failure=None,
    has_lease=True,
)
INFO = ConsumerInfo(
    name="a:position-b",
    position_store="stream",
    category="a",
    identifier="b",
    group_member=None,
    group_size=None,
    next_position=1,
    saved_at=NOW - timedelta(1),
    pid=None,
    report=REPORT,
)
change: Callable[..., Any] = msgspec.structs.replace


@pytest.mark.parametrize(
    ("pid", "report", "state"),
    [
        (5, {}, "running"),
        (5, {"state": "retrying"}, "retrying"),
        (5, {"age": 4.5}, "no report"),
        (None, {}, "not running"),
        (None, {"age": 500.0}, "not running"),
        (None, {"has_lease": False}, "running"),
        (None, {"has_lease": False, "age": 4.5}, "no report"),
        (None, {"has_lease": False, "age": 4.5, "interval": 10.0}, "running"),
        (None, {"state": "stopped", "age": 500.0}, "stopped"),
        (None, {"state": "failed"}, "failed"),
        # Another run has begun, and not reported yet, or may not.
        (5, {"state": "stopped", "age": 500.0}, "running"),
    ],
)
def test_the_state_is_the_reported_one_unless_it_is_contradicted(
    pid: int | None, report: dict[str, Any], state: str
) -> None:
    assert change(INFO, pid=pid, report=change(REPORT, **report)).state == state


@pytest.mark.parametrize(
    ("pid", "position_store", "state"),
    [(5, "stream", "running"), (None, "table", "stopped"), (None, "stream", "not ours")],
)
def test_without_a_report_the_lease_decides(
    pid: int | None, position_store: str, state: str
) -> None:
    assert change(INFO, pid=pid, position_store=position_store, report=None).state == state

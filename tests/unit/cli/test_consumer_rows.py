"""Rows of consumers: who runs, and which message one that is gone was at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from messagedb.cli._consumer_rows import build_consumer_row
from messagedb.cli._consumer_table import STATUS_COLUMNS
from messagedb.consumers import ConsumerInfo, ConsumerReport, InFlightMessage

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def make_row(age: float, *, has_lease: bool = False, pid: int | None = None) -> dict[str, Any]:
    report = ConsumerReport(
        host="h",
        pid=1,
        started_at=NOW,
        reported_at=NOW,
        age=age,
        interval=5.0,
        state="running",
        next_position=1,
        lag_messages=1,
        lag_seconds=1.0,
        in_flight=InFlightMessage(stream_name="pay-1", position=2, attempt=1, since=NOW),
        last_failure=None,
        has_lease=has_lease,
    )
    info = ConsumerInfo(
        name="pay:position",
        position_store="stream",
        category="pay",
        identifier=None,
        group_member=None,
        group_size=None,
        next_position=1,
        saved_at=NOW,
        pid=pid,
        report=report,
    )
    return build_consumer_row(info)


@pytest.mark.parametrize(
    ("row", "state", "running", "said"),
    [
        (make_row(1.0), "running", True, "pay-1/2, for 1 s"),
        (make_row(1.0, has_lease=True, pid=7), "running", True, "pay-1/2, for 1 s"),
        (make_row(900.0), "no report", False, "was at pay-1/2"),
        (make_row(1.0, has_lease=True), "not running", False, "was at pay-1/2"),
    ],
)
def test_running_follows_the_state_and_a_consumer_that_is_gone_was_at_its_message(
    row: dict[str, Any], state: str, running: bool, said: str
) -> None:
    (in_flight,) = [each for each in STATUS_COLUMNS if each.name == "in_flight"]
    assert in_flight.value is not None
    assert (row["state"], row["running"], in_flight.value(row)) == (state, running, said)

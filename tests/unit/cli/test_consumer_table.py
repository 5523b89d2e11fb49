"""The table of consumers: states, messages in flight and failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from messagedb.cli._consumer_table import (
    STATUS_COLUMNS,
    describe_seconds,
    describe_state,
    summarize,
)
from messagedb.consumers import ConsumerFailure, InFlightMessage

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def make(state: str, **more: Any) -> dict[str, Any]:
    """Return the row of a consumer that reported three seconds ago."""
    return {
        "category": "order",
        "identifier": "mail",
        "group_member": None,
        "group_size": None,
        "state": state,
        "owner": "web1:71",
        "since": NOW - timedelta(hours=3),
        "reported_at": NOW,
        "report_age": 3.0,
        "in_flight": None,
        "last_failure": None,
        **more,
    }


def show(name: str, row: dict[str, Any]) -> Any:
    (column,) = (each for each in STATUS_COLUMNS if each.name == name)
    assert column.value is not None
    return column.value(row)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9, "0 s"), (119, "119 s"), (150, "2 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_a_time_is_in_its_largest_unit(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("running", "running"),
        ("no report", "no report for 3 s"),
        ("not running", "not running (last report 3 s ago)"),
        ("failed", "failed 3 s ago"),
        ("not ours", "not ours"),
    ],
)
def test_a_state_says_how_old_it_is_where_that_matters(state: str, text: str) -> None:
    assert describe_state(make(state)) == text
    assert describe_state(make("stopped", report_age=None)) == "stopped"


def test_one_that_has_ended_has_no_owner() -> None:
    assert show("owner", make("running")) == show("owner", make("not running")) == "web1:71"
    assert show("since", make("running")) == NOW - timedelta(hours=3)
    assert show("owner", make("stopped")) is show("since", make("failed")) is None


def test_a_member_of_a_group_and_a_consumer_of_several_categories_are_named() -> None:
    assert show("identifier", make("running", group_member=2, group_size=5)) == "mail 2 of 5"
    assert show("identifier", make("running")) == "mail"
    assert show("category", make("running", category=None)) == "(several)"


def test_a_message_in_flight_has_an_age_while_its_process_lives() -> None:
    since = NOW - timedelta(seconds=60)
    message = InFlightMessage(stream_name="order-1", position=4, attempt=2, since=since)
    assert show("in_flight", make("retrying", in_flight=message)) == (
        "order-1/4, attempt 2, for 63 s"
    )
    gone = make("not running", in_flight=message)
    assert show("in_flight", gone) == "was at order-1/4, attempt 2"
    assert show("in_flight", make("running")) is None


def test_a_failure_names_message_attempt_and_error() -> None:
    failure = ConsumerFailure(
        stream_name="order-1",
        position=4,
        global_position=90,
        message_id=UUID(int=1),
        type="Placed",
        attempt=3,
        error="KeyError: 'email'",
        failed_at=NOW - timedelta(minutes=5),
    )
    shown = show("last_failure", make("retrying", last_failure=failure))
    assert shown == "order-1/4, attempt 3, 5 min ago: KeyError: 'email'"
    assert show("last_failure", make("running")) is None
    for state, said in (("open", ""), ("parked", ", parked"), ("passed", ", passed since")):
        row = make("running", last_failure=failure, failure_state=state)
        assert show("last_failure", row).startswith(f"order-1/4, attempt 3, 5 min ago{said}: ")


def test_the_last_line_counts_the_states() -> None:
    rows = [make("running"), make("failed"), make("running")]
    assert summarize(rows) == "3 consumers: 2 running, 1 failed"
    assert summarize(rows[:1]) == "1 consumer: 1 running"

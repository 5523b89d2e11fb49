"""Rows of consumers, their trends, and findings, as pages show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from messagedb._consumers.consumer_info import ConsumerInfo, find_parked_stream
from messagedb._diagnosis.findings import Finding
from messagedb._ui.consumers.history import KEPT, LagHistory, draw_line, find_trend
from messagedb._ui.consumers.reset import check_target, describe_reset, parse_target
from messagedb._ui.consumers.view import build_rows, is_stalled, summarize
from messagedb._ui.failures import PageError
from messagedb._ui.health.view import build_sections, check_consumers
from messagedb._ui.health.view import summarize as summarize_findings
from messagedb._ui.parked.confirmation import describe_action
from messagedb._ui.parked.queries import MOST_SELECTED, Extent
from messagedb._ui.parked.selection import parse_selection
from messagedb._ui.rendering.texts import hide_reason

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def make_info(**given: Any) -> ConsumerInfo:
    defaults: dict[str, Any] = {
        "name": "order:position-mail",
        "position_store": "stream",
        "category": "order",
        "identifier": "mail",
        "group_member": None,
        "group_size": None,
        "next_position": 10,
        "saved_at": NOW,
        "pid": 1,
        "head": 20,
    }
    return ConsumerInfo(**{**defaults, **given})


def test_a_consumer_is_stalled_if_messages_wait_and_its_position_stays() -> None:
    long, short = NOW - timedelta(minutes=6), NOW - timedelta(minutes=4)
    waiting = {"lag_messages": 3, "lag_seconds": 360.0}
    assert is_stalled(make_info(saved_at=long, **waiting), NOW)
    assert not is_stalled(make_info(saved_at=short, **waiting), NOW)
    assert not is_stalled(make_info(saved_at=long, lag_messages=3, lag_seconds=20.0), NOW)
    assert not is_stalled(make_info(saved_at=long), NOW)
    assert not is_stalled(make_info(saved_at=long, pid=None, **waiting), NOW)


def test_those_that_need_somebody_come_first() -> None:
    stalled = {"saved_at": NOW - timedelta(hours=1), "lag_messages": 1, "lag_seconds": 3600.0}
    consumers = [
        make_info(name="a", identifier="behind", lag_messages=50),
        make_info(name="b", identifier="well"),
        make_info(name="c", identifier="stalled", **stalled),
    ]
    rows = build_rows(consumers, [], LagHistory(), NOW)
    assert [row.info.identifier for row in rows] == ["stalled", "behind", "well"]
    assert summarize(rows) == "3 consumers, 1 that needs attention, 2 behind."


def test_a_trend_is_that_of_the_last_minute() -> None:
    clock = Clock()
    history = LagHistory(clock)
    assert find_trend(history.get("a")) == ""
    for lag in (500, 100, 90, 80):
        history.add("a", lag)
        clock.now += 40
    points = history.get("a")
    assert [lag for _, lag in points] == [500, 100, 90, 80]
    assert find_trend([(-50, 10), (0, 30)]) == "up"
    assert find_trend([(-50, 1000), (0, 995)]) == "level"
    assert find_trend([(-90, 1), (-50, 1000), (0, 500)]) == "down"


def test_points_are_bounded_and_not_closer_than_some_seconds() -> None:
    clock = Clock()
    history = LagHistory(clock)
    for lag in range(1000):
        history.add("a", lag)
        clock.now += 1
    points = history.get("a")
    assert len(points) == KEPT
    assert points[-1][1] == 999


def test_a_line_stays_in_its_box() -> None:
    assert draw_line([(0.0, 1)], 90, 22) == ""
    line = draw_line([(-10.0, 0), (-5.0, 100), (0.0, 50)], 90, 22)
    pairs = [tuple(map(float, pair.split(","))) for pair in line.split()]
    assert pairs[0] == (1.0, 21.0)
    assert all(0 <= x <= 90 and 0 <= y <= 22 for x, y in pairs)


@pytest.mark.parametrize(
    ("given", "target"), [("beginning", "beginning"), ("end", "end"), (" 12 ", 12)]
)
def test_where_a_position_is_reset_to(given: str, target: Any) -> None:
    assert parse_target(given) == target


@pytest.mark.parametrize("given", ["", "0", "-1", "1.5", "٣", "9" * 30])
def test_where_a_position_cannot_be_reset_to(given: str) -> None:
    with pytest.raises(PageError):
        parse_target(given)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("beginning", "handles all messages of its category again"),
        ("end", "skips the 7 messages that wait"),
        (5, "handles again what it handled from 5 on"),
        (15, "skips what waits before global position 15"),
    ],
)
def test_a_reset_says_what_it_will_do(target: Any, words: str) -> None:
    said = " ".join(describe_reset(make_info(lag_messages=7, pid=None), target))
    assert words in said
    assert "cannot be seen" in said  # whether a Ruby consumer of this name runs


def test_findings_about_consumers_name_them() -> None:
    stalled = make_info(
        saved_at=NOW - timedelta(hours=1), lag_messages=4, lag_seconds=3600.0, parked_count=2
    )
    levels = [each.level for each in check_consumers([stalled, stalled], NOW)]
    assert levels == ["problem", "problem", "warning"]
    assert "2 messages parked, by 1 consumer" in check_consumers([stalled], NOW)[-1].finding
    assert [each.level for each in check_consumers([make_info()], NOW)] == ["ok"]


def test_problems_come_before_what_is_fine() -> None:
    findings = [Finding("ok", "a", "b"), Finding("problem", "c", "d", "e")]
    assert [each.level for each in build_sections(findings)] == ["problem", "ok"]
    assert summarize_findings(findings) == "1 problem, and 1 check without one."
    assert summarize_findings(findings[:1]) == "Everything that was checked is fine."


def test_a_question_says_what_is_not_undone() -> None:
    extent = Extent(MOST_SELECTED + 1, 0, 5, 90, NOW, 7)
    for action in ("replay", "discard"):
        said = " ".join(describe_action(action, extent))
        assert "from global position 5 to 90" in said
        assert "Not undone:" in said
        assert f"At most {MOST_SELECTED:,}" in said


def test_a_selection_survives_its_address() -> None:
    fields = {"stream": "a:parked-b", "type": "A", "error": "KeyError", "up_to": "7"}
    selection = parse_selection(fields)
    assert selection.to_fields() == fields
    assert selection.describe() == "parked messages of type A with KeyError up to record 7"


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("order:position-mail", "order:parked-mail"),
        ("order:position-mail+1+3", "order:parked-mail"),
        ("order:position", "order:parked"),
        ("all:position-audit", "all:parked-audit"),
    ],
)
def test_members_of_a_group_share_their_parked_messages(name: str, stream: str) -> None:
    assert find_parked_stream(name) == stream


@pytest.mark.parametrize("target", [66, 2**63 - 1])
def test_a_reset_beyond_the_end_is_refused(target: int) -> None:
    check_target(65, 64)
    check_target("end", None)
    with pytest.raises(PageError, match=r"beyond the end \(65\)"):
        check_target(target, 64)


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("KeyError: 'ada@example.org'", "KeyError"),
        ("TimeoutError", "TimeoutError"),
        ("Ada", "(hidden)"),
        ("ada: has no address", "(hidden)"),
        ("KeyErrors of Ada", "(hidden)"),
        ("", "(hidden)"),
    ],
)
def test_of_a_hidden_reason_only_the_class_of_the_error_is_shown(reason: str, shown: str) -> None:
    assert hide_reason(reason) == shown

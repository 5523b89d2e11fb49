"""The overview of the UI: estimates, rates and the chart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from messagedb._ui.overview.queries import EXACT_UP_TO, NEWEST, Activity, StoreFacts
from messagedb._ui.overview.view import (
    CHART_MINUTES,
    build_bars,
    build_rows,
    choose_percent,
    compute_rates,
    estimate_messages,
    merge_activity,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
FACTS = StoreFacts("d", "r", "18", False, 5_000_000.0, 100_000, 110_000, 1, NOW, 6_000_000, 0)


def make(category: str, minutes: int, count: int) -> Activity:
    time = NOW - timedelta(minutes=minutes)
    return Activity(category, minutes, count, time, time)


def test_few_messages_are_counted() -> None:
    facts = msgspec.structs.replace(FACTS, counted=EXACT_UP_TO)
    assert estimate_messages(facts) == (EXACT_UP_TO, True)
    assert choose_percent(facts) is None


def test_many_messages_are_estimated_by_the_size_of_the_table() -> None:
    facts = msgspec.structs.replace(FACTS, counted=EXACT_UP_TO + 1)
    assert estimate_messages(facts) == (5_500_000.0, False)
    percent = choose_percent(facts)
    assert percent is not None
    assert 0 < percent < 1


@pytest.mark.parametrize(("rows", "pages"), [(-1.0, 0), (0.0, 0)])
def test_a_table_that_was_never_analyzed_is_estimated_by_its_positions(
    rows: float, pages: int
) -> None:
    facts = msgspec.structs.replace(
        FACTS, counted=EXACT_UP_TO + 1, analyzed_rows=rows, analyzed_pages=pages
    )
    assert estimate_messages(facts) == (6_000_000, False)


def test_rates_are_of_the_last_five_minutes() -> None:
    rates = compute_rates([make("a", 1, 300), make("b", 4, 30), make("b", 9, 99)], NOW, True)
    assert rates.per_second == pytest.approx(1.1)
    assert rates.by_category == pytest.approx({"a": 1.0, "b": 0.1})
    assert rates.last["b"] == NOW - timedelta(minutes=4)
    assert rates.covered_minutes is None


def test_rates_are_of_less_time_if_the_newest_messages_cover_less() -> None:
    rates = compute_rates([make("a", 2, NEWEST)], NOW, False)
    assert (rates.minutes, rates.covered_minutes) == (2, 2)
    assert rates.per_second == pytest.approx(NEWEST / 120)


def test_an_empty_store_has_no_rate() -> None:
    assert compute_rates([], NOW, True).per_second == 0


def test_the_chart_has_a_bar_for_each_minute() -> None:
    bars = build_bars([make("a", 0, 10), make("b", 0, 10), make("a", 59, 1), make("a", 60, 500)])
    assert len(bars) == CHART_MINUTES
    assert (bars[-1].count, bars[-1].height, bars[0].count) == (20, 100, 1)
    assert bars[0].height >= 2
    assert bars[30].height == 0


def test_shares_are_never_more_than_all() -> None:
    rows = build_rows([("a", 90), ("b", 10)], 100.0, 5000, compute_rates([], NOW, True))
    assert [(row.messages, row.share) for row in rows] == [(9000.0, 100), (1000.0, 20)]


def test_activity_of_nodes_is_cut_where_one_has_more_than_was_looked_at() -> None:
    few, many = [make("a", 1, 3), make("a", 9, 4)], [make("b", 2, NEWEST)]
    assert merge_activity([few]) == (few, True)
    assert merge_activity([few, [make("b", 2, 1)]]) == ([*few, make("b", 2, 1)], True)
    assert merge_activity([few, many]) == ([make("a", 1, 3), *many], False)

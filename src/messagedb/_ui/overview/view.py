"""The contents of the overview: estimates, rates, and the bars of its chart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from .queries import EXACT_UP_TO, NEWEST, SAMPLED_PAGES, Activity, StoreFacts

CHART_MINUTES: Final = 60
RATE_MINUTES: Final = 5


class CategoryRow(msgspec.Struct, frozen=True):
    """One row of the table of categories.

    Attributes:
        name: the category.
        messages: their number, perhaps estimated.
        share: of all messages, in percent.
        per_second: the rate over the last minutes; None if it is not known.
        last: the time of the newest message; None if it is not among the newest of the store.
    """

    name: str
    messages: float
    share: float
    per_second: float | None
    last: datetime | None


class Bar(msgspec.Struct, frozen=True):
    """One minute of the chart: its place and height, from 0 to 100, and its label."""

    x: int
    height: float
    count: int
    minutes_ago: int


class Rates(msgspec.Struct, frozen=True):
    """The rates that the newest messages show.

    Attributes:
        minutes: the minutes that the rates are over; fewer if the newest messages cover fewer.
        per_second: of the whole store.
        by_category: of each category.
        last: the time of the newest message of each category that is among the newest of the store.
        covered_minutes: how far the newest messages reach back; None if they are all that there is.
    """

    minutes: float
    per_second: float | None
    by_category: dict[str, float]
    last: dict[str, datetime]
    covered_minutes: int | None


def estimate_messages(facts: StoreFacts) -> tuple[float, bool]:
    """Return the number of messages, and whether it is exact.

    The estimate is PostgreSQL's own: the density of the last ANALYZE times the size of the table.
    Without one it is the last global position, which is more than the number.
    """
    if facts.counted <= EXACT_UP_TO:
        return facts.counted, True
    if facts.analyzed_rows > 0 and facts.analyzed_pages > 0:
        estimate = facts.analyzed_rows / facts.analyzed_pages * facts.pages
        return max(estimate, facts.counted), False
    return max(facts.head or 0, facts.counted), False


def choose_percent(facts: StoreFacts) -> float | None:
    """Return the part of the table to sample for sizes of categories; None for all of it."""
    if facts.counted <= EXACT_UP_TO or facts.pages <= SAMPLED_PAGES:
        return None
    return 100 * SAMPLED_PAGES / facts.pages


def merge_activity(nodes: Sequence[Sequence[Activity]]) -> tuple[list[Activity], bool]:
    """Return the newest messages of several nodes, and whether they are all that there are.

    Where a node has more, those of the others are left out that are older than its oldest one here.
    """
    full = [each for each in nodes if sum(one.count for one in each) >= NEWEST]
    merged = [each for node in nodes for each in node]
    if not full:
        return merged, True
    oldest = max(min(each.first for each in node) for node in full)
    return [each for each in merged if each.last >= oldest], False


def compute_rates(activity: Sequence[Activity], now: datetime, is_all: bool) -> Rates:
    """Return the rates over the last minutes, or over fewer if the newest messages cover fewer.

    Args:
        activity: the newest messages.
        now: the time of the server.
        is_all: whether the store has no others.
    """
    last: dict[str, datetime] = {}
    counts: defaultdict[str, int] = defaultdict(int)
    for each in activity:
        last[each.category] = max(last.get(each.category, each.last), each.last)
        if each.minutes_ago < RATE_MINUTES:
            counts[each.category] += each.count
    oldest = min((each.first for each in activity), default=now)
    span = max((now - oldest).total_seconds() / 60, 0)
    minutes = RATE_MINUTES if is_all else min(max(span, 1 / 60), RATE_MINUTES)
    return Rates(
        minutes=minutes,
        per_second=sum(counts.values()) / minutes / 60,
        by_category={name: count / minutes / 60 for name, count in counts.items()},
        last=last,
        covered_minutes=None if is_all else int(span),
    )


def build_bars(activity: Sequence[Activity]) -> list[Bar]:
    """Return a bar for each of the last minutes, the oldest first."""
    counts: defaultdict[int, int] = defaultdict(int)
    for each in activity:
        counts[max(each.minutes_ago, 0)] += each.count
    shown = {minute: counts.get(minute, 0) for minute in range(CHART_MINUTES)}
    highest = max(shown.values(), default=0) or 1
    return [
        Bar(
            x=CHART_MINUTES - 1 - minute,
            height=max(round(100 * count / highest, 1), 2 if count else 0),
            count=count,
            minutes_ago=minute,
        )
        for minute, count in sorted(shown.items(), reverse=True)
    ]


def build_rows(
    sizes: Sequence[tuple[str, int]], factor: float, total: float, rates: Rates
) -> list[CategoryRow]:
    """Return the rows of the table of categories, the largest first.

    Args:
        sizes: the categories and their counts in the sample.
        factor: of the sample to the whole.
        total: the number of all messages.
        rates: the rates.
    """
    return [
        CategoryRow(
            name,
            count * factor,
            min(100 * count * factor / max(total, 1), 100),
            rates.by_category.get(name, 0.0),
            rates.last.get(name),
        )
        for name, count in sizes
    ]

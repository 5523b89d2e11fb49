"""The search for a time among global positions, whose times nearly grow."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from messagedb._operations.store_reads import TimeSearch
from messagedb._sql.scans import scan_statements

START = datetime(2026, 5, 1, tzinfo=UTC)
SQL = scan_statements("message_store")


def search(minutes_at: dict[int, float], since: float) -> tuple[int, int]:
    """Return the found position in a store of these messages, and the number of probes."""
    positions = sorted(minutes_at)
    time_search = TimeSearch(START + timedelta(minutes=since), positions[0], positions[-1])
    probes = 0
    while (probe := time_search.next_probe(SQL)) is not None:
        probes += 1
        start, _, size = probe.query.params
        window = [position for position in positions if position >= start][:size]
        late = [position for position in window if minutes_at[position] >= since]
        time_search.note_result([(min(late, default=None), max(window, default=None))])
    return time_search.found, probes


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 1000])
def test_times_that_grow_are_found_exactly(count: int) -> None:
    minutes_at = {position: float(position) for position in range(1, count + 1)}
    for since in {-5, 1, 2, count // 2, count, count + 1}:
        found, probes = search(minutes_at, since)
        assert found == min(max(since, 1), count + 1)
        assert probes <= count.bit_length() + 1


def test_positions_may_be_far_apart() -> None:
    minutes_at = {1: 0.0, 2: 1.0, 10**12: 2.0, 2**62: 3.0}
    assert [search(minutes_at, since)[0] for since in (0, 1, 2, 3)] == [1, 2, 10**12, 2**62]
    assert search(minutes_at, 2)[1] <= 64


def test_one_long_transaction_does_not_mislead_the_search() -> None:
    # Its messages have the time of its beginning, and lie where the search looks first.
    minutes_at = {position: float(position) for position in range(1, 2001)}
    minutes_at |= dict.fromkeys(range(990, 1030), 0.0)
    assert search(minutes_at, 500)[0] == 500
    assert search(minutes_at, 1500)[0] == 1500


def test_times_out_of_order_are_found_nearby() -> None:
    chance = random.Random(5)
    minutes_at = {position: position - chance.random() * 20 for position in range(1, 5001)}
    for since in range(100, 4900, 333):
        found, _ = search(minutes_at, since)
        assert minutes_at[found] >= since
        assert since <= found <= since + 20

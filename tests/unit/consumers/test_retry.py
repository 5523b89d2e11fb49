"""The waits between attempts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagedb import RetryPolicy, ValidationError
from messagedb._subscriptions.backoff import RECONNECT_BACKOFF
from messagedb.consumers import NO_RETRY


def test_each_wait_is_longer_up_to_a_limit() -> None:
    policy = RetryPolicy(max_attempts=6, delay=1, multiplier=3, max_delay=20, jitter=False)
    assert [policy.get_delay(attempt) for attempt in range(1, 8)] == [1, 3, 9, 20, 20, None, None]
    assert policy.get_backoff(1000) == 20


def test_one_attempt_is_no_retry() -> None:
    assert NO_RETRY.get_delay(1) is None
    assert RetryPolicy(max_attempts=1) == RetryPolicy(max_attempts=1, delay=0.1)


def test_the_default() -> None:
    waits = [RetryPolicy(jitter=False).get_delay(attempt) for attempt in range(1, 6)]
    assert waits == [0.1, 0.2, 0.4, 0.8, None]


@given(
    st.floats(0.001, 1000),
    st.floats(1, 100),
    st.floats(0.001, 1000),
    st.integers(1, 10_000),
)
def test_jitter_takes_at_most_half_and_nothing_overflows(
    delay: float, multiplier: float, max_delay: float, failures: int
) -> None:
    options: dict[str, Any] = {"delay": delay, "multiplier": multiplier, "max_delay": max_delay}
    whole = RetryPolicy(jitter=False, **options).get_backoff(failures)
    drawn = RetryPolicy(**options).get_backoff(failures)
    assert 0 < whole <= max_delay
    assert whole / 2 * 0.999 <= drawn <= whole


def test_waits_are_drawn() -> None:
    assert len({RetryPolicy(delay=1).get_backoff(1) for _ in range(20)}) > 1


def test_while_the_store_is_away_the_waits_have_a_limit_and_their_number_none() -> None:
    assert all(0.05 <= RECONNECT_BACKOFF.get_backoff(n) <= 5 for n in (1, 2, 10, 10**6))


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_attempts": True},
        {"max_attempts": 1.5},
        {"delay": 0},
        {"delay": -1},
        {"delay": "1"},
        {"delay": float("nan")},
        {"max_delay": 0},
        {"max_delay": float("inf")},
        {"multiplier": 0.5},
        {"multiplier": 101},
        {"multiplier": True},
        {"multiplier": "2"},
    ],
)
def test_values_out_of_range(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValidationError, match=name):
        RetryPolicy(**wrong)

"""How long a consumer that has found nothing waits."""

from __future__ import annotations

import pytest

from messagedb._subscriptions.poll_interval import PollInterval


def test_the_interval_holds_for_a_hundred_looks_and_then_grows() -> None:
    polling = PollInterval(0.1, 1.0)
    waits = [polling.next_delay(0) for _ in range(200)]
    assert waits[:100] == [0.1] * 100
    assert waits[100:] == sorted(waits[100:])
    assert waits[100] > 0.1
    assert waits[-1] == 1.0
    polling.reset()
    assert polling.next_delay(0) == 0.1


def test_the_time_of_the_look_counts_as_waited() -> None:
    polling = PollInterval(0.1, 1.0)
    assert polling.next_delay(0.03) == pytest.approx(0.07)
    assert polling.next_delay(0.5) == 0


def test_where_notifications_come_looking_is_the_fallback() -> None:
    polling = PollInterval(0.1, 1.0)
    assert polling.next_delay(0.05, notified=True) == 1.0


def test_held_back_messages_are_polled_for_soon() -> None:
    polling = PollInterval(0.1, 1.0)
    waits = [polling.next_delay(0, soon=True, notified=True) for _ in range(50)]
    assert waits[0] == 0.005
    assert waits == sorted(waits)
    assert waits[-1] == 0.1
    polling.reset()
    assert polling.next_delay(0, soon=True) == 0.005


def test_an_idle_interval_below_the_interval_is_the_interval() -> None:
    polling = PollInterval(2.0, 1.0)
    assert [polling.next_delay(0) for _ in range(300)] == [2.0] * 300
    assert polling.next_delay(0, notified=True) == 2.0


def test_it_looks_on_for_years() -> None:
    polling = PollInterval(0.001, 2_000_000)
    for _ in range(10_000):
        assert 0 <= polling.next_delay(0) <= 2_000_000

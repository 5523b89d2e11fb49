"""The waiting consumers of a client: when a look wakes one, and which of them looks for all."""

from __future__ import annotations

import pytest

from messagedb._consumers.idle_consumers import (
    OWN_READ_SECONDS,
    PATIENCE_SECONDS,
    Heads,
    IdleConsumer,
    IdleConsumers,
)


class Case:
    """A consumer that waits from a time on, and what happens to it."""

    def __init__(
        self,
        *,
        category: str | None = "account",
        position: int = 7,
        history: int | None = 1,
        now: float = 100.0,
        delay: float = 1.0,
    ) -> None:
        self.wakes = 0
        self.heads: list[int] = []
        self.idle = IdleConsumer(
            category, position, history, now, lambda: delay, self.wake, self.heads.append
        )

    def wake(self) -> None:
        self.wakes += 1


def heads(account: int = 7, store: int = 9, history: int = 1) -> Heads:
    return Heads({"account": account, "order": store}, store, history)


@pytest.mark.parametrize(
    ("category", "position", "found", "woken"),
    [
        ("account", 7, heads(7), False),
        ("account", 7, heads(8), True),
        # The position of another category says nothing.
        ("account", 7, heads(7, store=20), False),
        # Its own message was committed after a later one of another category.
        ("account", 7, heads(8, store=20), True),
        # Messages were erased.
        ("account", 7, heads(5), False),
        ("empty", 0, heads(), False),
        (None, 9, heads(store=9), False),
        (None, 9, heads(store=10), True),
    ],
)
def test_a_look_wakes_a_consumer_if_a_message_is_after_its_position(
    category: str | None, position: int, found: Heads, woken: bool
) -> None:
    case = Case(category=category, position=position)
    case.idle.note_look(found, 101.0)
    assert case.wakes == (1 if woken else 0)
    assert len(case.heads) == (0 if woken else 1)
    assert case.idle.looked_at == (100.0 if woken else 101.0)


def test_a_look_at_another_history_wakes_a_consumer_that_has_read_a_message() -> None:
    case = Case(history=1)
    case.idle.note_look(heads(history=2), 101.0)
    assert case.wakes == 1
    new = Case(history=None)
    new.idle.note_look(heads(history=2), 101.0)
    assert new.wakes == 0


def test_the_first_that_waits_looks_and_the_others_wait_longer() -> None:
    group = IdleConsumers()
    first, second = Case(now=100.0).idle, Case(now=100.2).idle
    for each in (first, second):
        group.add(each)
    assert group.find_turn(first) == 101.0
    assert group.find_turn(second) == 101.2 + PATIENCE_SECONDS
    assert not group.is_turn(first, 100.9)
    assert group.is_turn(first, 101.0)
    assert not group.is_turn(second, 102.0)


def test_one_with_a_shorter_interval_looks_instead() -> None:
    group = IdleConsumers()
    slow, fast = Case(now=100.0, delay=1.0).idle, Case(now=100.1, delay=0.1).idle
    group.add(slow)
    group.find_turn(slow)
    group.add(fast)
    assert group.find_turn(fast) == pytest.approx(100.2)
    assert not group.is_turn(slow, 101.0)
    # Only itself: the other one has just been looked for.
    assert group.select_due(100.2) == [fast]
    assert group.select_due(100.6) == [slow, fast]


def test_the_one_that_looks_does_so_when_another_one_is_due() -> None:
    group = IdleConsumers()
    slow, fast = Case(now=99.14, delay=1.0).idle, Case(now=100.1, delay=0.1).idle
    group.add(slow)
    assert group.find_turn(slow) == pytest.approx(100.14)
    group.add(fast)
    # It is due later, and would wait for a whole interval of the other one.
    assert group.find_turn(fast) > 105
    assert group.select_due(100.14) == [slow]
    slow.note_look(heads(), 100.14)
    assert group.find_turn(slow) == pytest.approx(100.2)


def test_when_the_one_that_looks_leaves_another_one_is_woken_and_looks() -> None:
    group = IdleConsumers()
    cases = [Case(now=100.0 + n / 10) for n in range(3)]
    for case in cases:
        group.add(case.idle)
        group.find_turn(case.idle)
    group.remove(cases[1].idle)
    assert [case.wakes for case in cases] == [0, 0, 0]
    group.remove(cases[0].idle)
    assert [case.wakes for case in cases] == [0, 0, 1]
    assert group.find_turn(cases[2].idle) == pytest.approx(101.2)


def test_each_reads_by_itself_after_some_time_whatever_is_found() -> None:
    idle = Case(now=100.0).idle
    moment = 100.0
    while moment < idle.reads_at:
        idle.note_look(heads(), moment)
        moment += 1.0
    assert OWN_READ_SECONDS / 2 <= moment - 100.0 <= OWN_READ_SECONDS + 1

"""A group of four, each of them killed at random moments while 20,000 messages are written."""

from __future__ import annotations

from tests.killing.effects import effects_of, judge, messages_of, stored_position
from tests.killing.scenario import MESSAGES, Fork, kill_while_writing
from tests.killing.worker import Order

SIZE = 4
BATCH = 100
INTERVAL = 50
AGAIN = INTERVAL + 4 * BATCH


def test_members_handle_each_message_at_least_once(
    fork: Fork, effects_url: str, category: str
) -> None:
    orders = [
        Order(
            variant="async",
            url=effects_url,
            category=category,
            member=member,
            size=SIZE,
            batch_size=BATCH,
            interval=INTERVAL,
        )
        for member in range(SIZE)
    ]
    kill_while_writing(fork, orders, longest=1.2)
    messages = messages_of(effects_url, category)
    verdict = judge(effects_of(effects_url, category), messages)
    print(verdict)
    assert len(messages) == MESSAGES
    assert verdict.members == SIZE
    assert 0 < verdict.repeats <= AGAIN
    for order in orders:
        assert stored_position(effects_url, order) == messages[-1].global_position


def test_members_leave_each_effect_exactly_once(
    fork: Fork, effects_url: str, category: str
) -> None:
    orders = [
        Order(
            variant="sync",
            url=effects_url,
            category=category,
            member=member,
            size=SIZE,
            transactional=True,
            table=True,
        )
        for member in range(SIZE)
    ]
    kill_while_writing(fork, orders, longest=3.0)
    messages = messages_of(effects_url, category)
    effects = effects_of(effects_url, category)
    verdict = judge(effects, messages)
    print(verdict)
    assert verdict.members == SIZE
    assert len(effects) == len(messages) == MESSAGES
    assert verdict.total == 0
    for order in orders:
        assert stored_position(effects_url, order) == messages[-1].global_position

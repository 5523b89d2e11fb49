"""One consumer, killed fifty times at random moments while 20,000 messages are written."""

from __future__ import annotations

import pytest

from tests.killing.effects import effects_of, judge, messages_of, stored_position
from tests.killing.scenario import KILLS, MESSAGES, Fork, kill_while_writing
from tests.killing.worker import Order, Variant

BATCH = 100
INTERVAL = 50

# What the documentation says: so many messages may be handled again after a crash.
AGAIN = INTERVAL + 4 * BATCH

variants = pytest.mark.parametrize("variant", ["async", "sync"])


@variants
def test_each_message_is_handled_at_least_once(
    fork: Fork, effects_url: str, category: str, variant: Variant
) -> None:
    order = Order(
        variant=variant, url=effects_url, category=category, batch_size=BATCH, interval=INTERVAL
    )
    kill_while_writing(fork, [order], longest=0.4)
    messages = messages_of(effects_url, category)
    verdict = judge(effects_of(effects_url, category), messages)
    print(verdict)
    assert len(messages) == MESSAGES
    assert verdict.lives > KILLS / 2
    assert 0 < verdict.repeats <= AGAIN
    # A store that answers leaves far less.
    assert verdict.usual <= 2 * INTERVAL
    assert stored_position(effects_url, order) == messages[-1].global_position


@variants
def test_each_message_is_handled_at_least_once_by_eight_handlers_at_a_time(
    fork: Fork, effects_url: str, category: str, variant: Variant
) -> None:
    order = Order(
        variant=variant,
        url=effects_url,
        category=category,
        concurrency=8,
        batch_size=BATCH,
        interval=INTERVAL,
        random_seconds=0.002,
    )
    kill_while_writing(fork, [order], longest=0.4)
    messages = messages_of(effects_url, category)
    verdict = judge(effects_of(effects_url, category), messages, order_is_total=False)
    print(verdict)
    assert verdict.lives > KILLS / 2
    assert 0 < verdict.repeats <= AGAIN
    assert stored_position(effects_url, order) == messages[-1].global_position


@variants
@pytest.mark.parametrize(
    ("size", "batches"), [(None, False), (100, False), (None, True)], ids=["1", "100", "batches"]
)
def test_each_effect_is_there_exactly_once_in_the_transaction_of_the_position(
    fork: Fork,
    effects_url: str,
    category: str,
    variant: Variant,
    size: int | None,
    batches: bool,
) -> None:
    order = Order(
        variant=variant,
        url=effects_url,
        category=category,
        transactional=True,
        transaction_size=size,
        batches=batches,
        table=variant == "async",
    )
    kill_while_writing(fork, [order], longest=0.8)
    messages = messages_of(effects_url, category)
    effects = effects_of(effects_url, category)
    verdict = judge(effects, messages)
    print(verdict)
    assert verdict.lives > KILLS / 2
    assert [effect.global_position for effect in effects] == [
        message.global_position for message in messages
    ]
    assert stored_position(effects_url, order) == messages[-1].global_position

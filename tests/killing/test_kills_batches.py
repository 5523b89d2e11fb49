"""Consumers and read models whose handlers get lists of messages, killed again and again."""

from __future__ import annotations

import psycopg
import pytest

from tests.killing.effects import effects_of, judge, messages_of, stored_position
from tests.killing.scenario import Fork, kill_while_handling
from tests.killing.worker import Order, Variant

KILLS = 12
EACH = 300
BATCH = 100
INTERVAL = 50
AGAIN = INTERVAL + 4 * BATCH

variants = pytest.mark.parametrize("variant", ["async", "sync"])


@variants
def test_each_message_of_a_list_is_handled_at_least_once_and_in_order(
    fork: Fork, effects_url: str, category: str, variant: Variant
) -> None:
    order = Order(
        variant=variant,
        url=effects_url,
        category=category,
        batches=True,
        batch_size=BATCH,
        interval=INTERVAL,
        table=variant == "async",
    )
    kill_while_handling(fork, order, kills=KILLS, each=EACH)
    messages = messages_of(effects_url, category)
    verdict = judge(effects_of(effects_url, category), messages)
    print(verdict)
    assert len(messages) == (KILLS + 1) * EACH
    assert verdict.lives > KILLS / 2
    assert verdict.repeats <= AGAIN
    assert stored_position(effects_url, order) == messages[-1].global_position


@variants
def test_each_message_counts_once_in_a_read_model_that_applies_lists(
    fork: Fork, effects_url: str, category: str, variant: Variant
) -> None:
    order = Order(
        variant=variant,
        url=effects_url,
        category=category,
        model=True,
        batches=True,
        transactional=True,
        batch_size=BATCH,
    )
    kill_while_handling(fork, order, kills=KILLS, each=EACH)
    messages = messages_of(effects_url, category)
    effects = effects_of(effects_url, category)
    verdict = judge(effects, messages)
    print(verdict)
    assert verdict.lives > KILLS / 2
    wanted = [message.global_position for message in messages]
    assert [effect.global_position for effect in effects] == wanted
    with psycopg.connect(effects_url) as conn:
        (position,) = conn.execute(
            "SELECT position FROM messagedb.positions WHERE consumer LIKE %s",
            [f"{category}:position-%"],
        ).fetchone() or (None,)
    assert position == messages[-1].global_position

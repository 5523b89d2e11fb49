"""A consumer that is killed when it could not store its position for a while."""

from __future__ import annotations

import psycopg
import pytest

from tests.killing.effects import count_effects, effects_of, judge, messages_of
from tests.killing.gates import write
from tests.killing.processes import Forked, until, until_still
from tests.killing.scenario import Fork
from tests.killing.worker import Order, Variant
from tests.support.store import locked, waiting_for_locks

BATCH = 50
INTERVAL = 20

# What the documentation says: so many messages may be handled again after a crash.
AGAIN = INTERVAL + 4 * BATCH


def write_at_once(url: str, category: str, streams: int) -> None:
    """Write a batch to each of some streams, all of which can be seen at the same moment."""
    with psycopg.connect(url) as conn:
        conn.execute(
            b"select message_store.write_message("
            b"gen_random_uuid()::varchar, %s || '-' || s, 'Noted', '{}')"
            b" from generate_series(1, %s) s, generate_series(1, %s)",
            [category, streams, BATCH],
        )


@pytest.mark.parametrize("variant", ["async", "sync"])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_no_more_is_handled_again_than_the_settings_say(
    fork: Fork, effects_url: str, category: str, variant: Variant, concurrency: int
) -> None:
    def order(life: int) -> Order:
        return Order(
            variant=variant,
            url=effects_url,
            category=category,
            life=life,
            concurrency=concurrency,
            batch_size=BATCH,
            interval=INTERVAL,
        )

    def until_handled(count: int, worker: Forked) -> None:
        until(lambda: count_effects(effects_url, category) == count, worker.text)

    write(effects_url, f"{category}-0", 10)
    before = fork(order(1))
    until_handled(10, before)
    before.stop()
    held = fork(order(2))
    write(effects_url, f"{category}-0", 1)
    until_handled(11, held)
    # As a save waits for the lock, the consumer has to wait before it has done too much.
    with locked(effects_url, f"{category}:position"):
        write_at_once(effects_url, category, 20)
        until(lambda: waiting_for_locks(effects_url, f"{category}:position"), held.text)
        count = until_still(lambda: count_effects(effects_url, category)) - 11
        held.kill()
    after = fork(order(3))
    until_handled(11 + 20 * BATCH, after)
    effects = effects_of(effects_url, category)
    verdict = judge(effects, messages_of(effects_url, category), order_is_total=concurrency == 1)
    print(count, verdict)
    assert 2 * BATCH <= count <= AGAIN
    assert 0 < verdict.repeats <= AGAIN

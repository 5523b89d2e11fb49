"""Consumers where something around them is unusual: a full pool, a store that lost something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from messagedb import AsyncClient, AsyncConsumer, LostHistoryError, Message, schema
from messagedb._concurrency.backend_async import Event
from tests._async.consuming import record_numbers, write
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually


async def test_a_store_that_has_lost_what_was_handled_stops_it(
    new_database: Callable[..., str], category: str
) -> None:
    """As one does that was restored, or failed over to a standby that lagged."""
    admin = new_database()
    async with AsyncClient(make_url(admin, user="message_store")) as client:
        consumer = AsyncConsumer(client, category, lease_timeout=0.6)
        seen = record_numbers(consumer)
        await write(client, f"{category}-1", 0, 20)
        run = Background(consumer.run)
        await eventually(lambda: len(seen) == 20)
        with psycopg.connect(admin, autocommit=True) as conn:
            conn.execute("delete from message_store.messages where global_position > 5")
            conn.execute("select setval('message_store.messages_global_position_seq', 5)")
        with pytest.raises(LostHistoryError, match="restored from a backup"):
            await run.result()


async def test_signs_of_life_do_not_wait_for_a_connection_of_the_pool(
    store_url: str, category: str
) -> None:
    async with (
        AsyncClient(store_url, max_size=1) as busy,
        AsyncClient(store_url, max_size=1) as other,
    ):
        first = AsyncConsumer(busy, category, transactional=True, lease_timeout=0.5)
        second = AsyncConsumer(other, category, transactional=True, lease_timeout=0.5)
        calls: list[str] = []
        is_late = Event()

        @first.handler
        async def slow(message: Message[Any]) -> None:
            calls.append("first")
            # While it holds the only connection of the pool, for four times as long as the lease.
            await is_late.wait(2.0)

        @second.handler
        async def never(message: Message[Any]) -> None:
            calls.append("second")

        await write(other, f"{category}-1", 0, 1)
        running = Background(first.run)
        await eventually(lambda: calls == ["first"])
        waiting = Background(second.run)
        await eventually(lambda: second.status().state == "waiting")
        await first.wait_until_caught_up(timeout=10)
        assert second.status().state == "waiting"
        assert calls == ["first"]
        for consumer, run in ((second, waiting), (first, running)):
            await consumer.stop()
            await run.result()


async def test_two_stores_in_one_database_have_consumers_of_the_same_name(
    new_database: Callable[..., str], category: str
) -> None:
    admin = new_database()
    schema.install(admin, schema="other_store")
    url = make_url(admin, user="message_store")
    async with AsyncClient(url) as one, AsyncClient(url, schema="other_store") as another:
        consumers = [AsyncConsumer(client, category) for client in (one, another)]
        seen = [record_numbers(consumer) for consumer in consumers]
        await write(one, f"{category}-1", 0, 1)
        await write(another, f"{category}-1", 1, 2)
        async with consumers[0].running(), consumers[1].running():
            for consumer in consumers:
                await consumer.wait_until_caught_up(timeout=10)
        assert seen == [[0], [1, 2]]


async def test_its_place_is_free_when_a_run_is_over(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(client, category)
    seen = record_numbers(consumer)
    await write(client, f"{category}-1", 0, 1)
    for _ in range(10):
        await consumer.run(until="caught_up")
        assert await consumer.reset_position("beginning") == 1
    assert seen == [0] * 10

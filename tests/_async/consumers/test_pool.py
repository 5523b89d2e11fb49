"""Consumers and the pool: they leave room for others, and say when there is none for them."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from messagedb import AsyncClient, AsyncConsumer, NewMessage
from tests._async.consuming import record_numbers, write
from tests.support.background_async import eventually

SLOW = 0.2


async def test_many_consumers_that_look_leave_room_for_a_writer(
    store_url: str, category: str
) -> None:
    # All of them in line before a write would take it 30 * SLOW / 4 seconds to have its turn.
    async with AsyncClient(store_url, max_size=4, timeout=3 * SLOW) as client:
        for n in range(30):
            await write(client, f"{category}{n}x-1", 0, 1)
        async with AsyncExitStack() as running:
            consumers = [
                AsyncConsumer(
                    client,
                    f"{category}{n}x",
                    lease_timeout=None,
                    condition=f"pg_sleep({SLOW}) is not null and data is null",
                )
                for n in range(30)
            ]
            for consumer in consumers:
                record_numbers(consumer)
                await running.enter_async_context(consumer.running())
            for _ in range(20):
                await client.write_message(f"{category}-1", NewMessage("Tested"))
    assert {consumer.status().last_error for consumer in consumers} == {None}


async def test_a_pool_that_is_too_small_is_named_and_not_told_as_a_store_that_is_away(
    store_url: str, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "messagedb.consumer")
    async with AsyncClient(store_url, max_size=1, timeout=0.2) as client:
        consumer = AsyncConsumer(client, category, identifier="starved")
        seen = record_numbers(consumer)
        await write(client, f"{category}-1", 0, 2)
        transaction = await client.begin()
        async with consumer.running():
            await eventually(lambda: consumer.status().blocked_by)
            status = consumer.status()
            assert status.state == "waiting"
            assert status.blocked_by == ("no connection of the pool is free (max_size=1)",)
            assert (status.last_error or "").startswith("PoolTimeoutError: ")
            await transaction.rollback()
            await consumer.wait_until_caught_up(timeout=10)
            assert (consumer.status().blocked_by, seen) == ((), [0, 1])
    lines = [record.getMessage() for record in caplog.records]
    assert sum("max_size=1" in line for line in lines) == 1
    assert not any("the store is unavailable" in line for line in lines)

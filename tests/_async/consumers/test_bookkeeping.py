"""Consumers of the whole store, which read the records of positions, too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from messagedb import AsyncAllConsumer, AsyncClient, Message, TablePositionStore
from tests._async.consuming import numbered, record_numbers, stream_of, write
from tests.support.background_async import eventually

NewDatabase = Callable[..., str]


@pytest.mark.parametrize(("whole", "interval"), [(True, 100), (True, 1), (False, 1)])
async def test_idle_consumers_of_the_store_do_not_feed_themselves(
    new_database: NewDatabase, category: str, whole: bool, interval: int
) -> None:
    async with AsyncClient(new_database(), max_size=4) as client:
        consumers = [
            AsyncAllConsumer(
                client,
                None if whole else [category],
                identifier=identifier,
                poll_interval=0.005,
                position_update_interval=interval,
                position_update_seconds=0.01,
                lease_timeout=0.3,
            )
            for identifier in ("a", "b")
        ]

        seen: list[int] = []

        async def note(message: Message[Any]) -> None:
            seen.append(message.global_position)

        for consumer in consumers:
            consumer.handler(note)
        await write(client, f"{category}-1", 0, 1)
        async with consumers[0].running(), consumers[1].running():
            for consumer in consumers:
                await has_stored(consumer)
                await beats(consumer, 2)
            head = await client.get_store_head()
            for consumer in consumers:
                await beats(consumer, 2)
            assert await client.get_store_head() == head
        assert len(await stream_of(client, "all:position-a")) <= 3
        assert len(await stream_of(client, "all:position-b")) <= 3
        assert seen.count(1) == 2


async def has_stored(consumer: AsyncAllConsumer) -> None:
    await eventually(lambda: consumer.status().stored_next_position)


async def beats(consumer: AsyncAllConsumer, count: int) -> None:
    """Wait until a consumer, which looks far more often, has measured its lag so many times."""
    moments: set[datetime | None] = set()

    def has_beaten() -> bool:
        moments.add(consumer.status().measured_at)
        return len(moments) > count

    await eventually(has_beaten)


async def test_held_back_messages_are_delivered_without_another_write(
    new_database: NewDatabase, category: str
) -> None:
    """Unlike eventsource-py, where it waits for whatever wakes the consumer the next time."""
    async with AsyncClient(new_database(), max_size=4) as client:
        consumer = AsyncAllConsumer(
            client, identifier="a", poll_interval=0.01, position_store=TablePositionStore()
        )
        seen = record_numbers(consumer)
        async with consumer.running():
            await consumer.wait_until_caught_up(timeout=5)
            async with client.transaction() as slow:
                await slow.write_messages(f"{category}A-1", numbered(0, 1))
                await write(client, f"{category}B-1", 1, 1)
                await eventually(lambda: consumer.status().blocked_by)
                assert seen == []
            await consumer.wait_until_caught_up(timeout=5)
            assert seen == [0, 1]

"""A category that is divided into partitions, which any number of processes share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    Message,
    NewMessage,
    run_consumers_async,
    schema,
)
from tests._async.consuming import record_numbers
from tests.support.backend import make_url
from tests.support.background_async import eventually
from tests.support.pgbouncer import PgBouncer

SIZE = 6


class Crowd:
    """Consumers of one identifier, each with a client, as in processes."""

    def __init__(self, category: str, **options: Any) -> None:
        self.category = category
        self.options: dict[str, Any] = {"partitions": SIZE, "lease_timeout": 3.0, **options}
        self.seen: dict[str, list[int]] = defaultdict(list)

    def join(self, client: AsyncClient) -> AsyncConsumer:
        """Return a consumer that notes the numbers of each stream."""
        consumer = AsyncConsumer(client, self.category, identifier="shared", **self.options)

        @consumer.handler
        async def note(message: Message[Any], context: AsyncContext) -> None:
            if self.options.get("transactional"):
                await context.client.write_message(f"{self.category}Out-1", NewMessage("Noted"))
            self.seen[message.stream_name].append(message.data["n"])

        return consumer

    async def write(self, client: AsyncClient, first: int, count: int) -> None:
        """Write numbers from the first on, to seven streams in turn."""
        for n in range(first, first + count):
            stream = f"{self.category}-{n % 7}"
            await client.write_message(stream, NewMessage("Noted", {"n": n}))

    def is_done(self, count: int) -> bool:
        """Return True if each number was handled, once and in its order."""
        expected = {f"{self.category}-{i}": list(range(i, count, 7)) for i in range(min(7, count))}
        return self.seen == expected


def owned(*consumers: AsyncConsumer) -> list[int]:
    """Return the numbers of partitions of each."""
    return [len(consumer.status().partitions or ()) for consumer in consumers]


@pytest.mark.parametrize("transactional", [False, True])
async def test_processes_that_come_and_go_share_the_partitions_equally(
    store_url: str, category: str, transactional: bool
) -> None:
    crowd = Crowd(category, transactional=transactional)
    async with AsyncClient(store_url) as one, AsyncClient(store_url) as two:
        await crowd.write(one, 0, 21)
        first, second = crowd.join(one), crowd.join(two)
        await first.run(until="caught_up")
        assert crowd.is_done(21)
        assert first.status().handled_count == 21
        async with first.running():
            await eventually(lambda: owned(first) == [6], 10)
            async with second.running():
                await eventually(lambda: owned(first, second) == [3, 3], 10)
                numbers = [*(first.status().partitions or ()), *(second.status().partitions or ())]
                assert sorted(numbers) == list(range(SIZE))
                await crowd.write(one, 21, 21)
                await eventually(lambda: crowd.is_done(42), 20)
            # It has left, and has not to expire first.
            await eventually(lambda: owned(first) == [6], 10)
            await crowd.write(two, 42, 7)
            await first.wait_until_caught_up(timeout=20)
            assert crowd.is_done(49)
        assert owned(first) == [0]
        if transactional:
            assert await one.stream_version(f"{category}Out-1") == 48


async def test_partitions_work_behind_a_pooler_in_transaction_mode(
    pgbouncer: PgBouncer, category: str
) -> None:
    url = pgbouncer.url("many")
    crowd = Crowd(category, transactional=True)
    async with AsyncClient(url) as one, AsyncClient(url) as two:
        first, second = crowd.join(one), crowd.join(two)
        async with first.running(), second.running():
            await eventually(lambda: owned(first, second) == [3, 3], 20)
            await crowd.write(one, 0, 21)
            await eventually(lambda: crowd.is_done(21), 20)
        assert await one.stream_version(f"{category}Out-1") == 20


async def test_notifications_wake_the_partitions_whose_messages_are_handled_concurrently(
    new_database: Callable[..., str], category: str
) -> None:
    """By one listener of the process; within the test nothing polls."""
    owner_url = new_database()
    schema.install_notify(owner_url)
    url = make_url(owner_url, user="message_store")
    crowd = Crowd(category, notify=True, poll_interval=300.0, concurrency=3)
    async with AsyncClient(url) as client:
        consumer = crowd.join(client)
        async with consumer.running():
            await eventually(lambda: owned(consumer) == [6], 20)
            await consumer.wait_until_caught_up(timeout=20)
            # Many times: a page that another partition has read may be older than what is notified.
            for first in range(0, 30 * 14, 14):
                await crowd.write(client, first, 14)
                await eventually(partial(crowd.is_done, first + 14), 20)


async def test_a_partitioned_consumer_runs_beside_others_in_one_call(
    client: AsyncClient, category: str
) -> None:
    crowd = Crowd(category)
    await crowd.write(client, 0, 14)
    plain = AsyncConsumer(client, category, identifier="plain")
    seen = record_numbers(plain)
    await run_consumers_async(crowd.join(client), plain, until="caught_up")
    assert crowd.is_done(14)
    assert seen == list(range(14))

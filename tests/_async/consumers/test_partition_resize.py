"""The number of partitions changes while their processes run, and while none does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    Message,
    NewMessage,
    PositionConflictError,
    StreamPositionStore,
    TablePositionStore,
    ValidationError,
)
from messagedb.consumers import NO_RETRY
from tests.support.background_async import Background, eventually

STREAMS = 7


class Processes:
    """Consumers of one identifier, each with a client, and what they have handled."""

    def __init__(self, client: AsyncClient, category: str, **options: Any) -> None:
        self.client = client
        self.category = category
        self.options: dict[str, Any] = {"partitions": 4, "lease_timeout": 3.0, **options}
        self.seen: dict[str, list[int]] = defaultdict(list)
        self.written = 0
        self.is_held = False
        self.failing: int | None = None

    def join(self, client: AsyncClient) -> AsyncConsumer:
        """Return a consumer that notes the numbers of each stream."""
        consumer = AsyncConsumer(client, self.category, identifier="grown", **self.options)

        @consumer.handler
        async def note(message: Message[Any], context: AsyncContext) -> None:
            if self.is_held and message.data["n"] >= self.written - STREAMS:
                await eventually(lambda: not self.is_held, 30)
            if message.data["n"] == self.failing:
                raise ValueError("refused")
            if self.options.get("transactional"):
                await context.client.write_message(f"{self.category}Out-1", NewMessage("Noted"))
            self.seen[message.stream_name].append(message.data["n"])

        return consumer

    @asynccontextmanager
    async def running(self, store_url: str, count: int = 2) -> AsyncGenerator[list[AsyncConsumer]]:
        """Run consumers, each with a client, during a block."""
        if count == 0:
            yield []
            return
        async with AsyncClient(store_url) as client:
            consumer = self.join(client)
            async with consumer.running(), self.running(store_url, count - 1) as others:
                yield [consumer, *others]

    async def write(self, count: int) -> None:
        """Write the next numbers, to seven streams in turn."""
        for n in range(self.written, self.written + count):
            stream = f"{self.category}-{n % STREAMS}"
            await self.client.write_message(stream, NewMessage("Noted", {"n": n}))
            self.written = n + 1

    async def resize(self, size: int, timeout: float = 60.0) -> None:
        """Change the number of partitions."""
        await self.client.resize_partitions(self.category, "grown", size, timeout=timeout)

    def is_done(self) -> bool:
        """Return True if each number was handled, once and in the order of its stream."""
        return self.seen == {
            f"{self.category}-{i}": list(range(i, self.written, STREAMS))
            for i in range(min(STREAMS, self.written))
        }


def shares(consumers: list[AsyncConsumer]) -> list[int]:
    """Return how many partitions each owns, in order."""
    return sorted(len(each.status().partitions or ()) for each in consumers)


def has_shares(consumers: list[AsyncConsumer], expected: list[int]) -> bool:
    """Return True if they own as many partitions."""
    return shares(consumers) == expected


@pytest.mark.parametrize("kind", ["streams", "table", "transactional"])
async def test_the_number_changes_under_load_and_nothing_is_skipped_or_handled_twice(
    client: AsyncClient, store_url: str, category: str, kind: str
) -> None:
    stores = {"streams": StreamPositionStore(), "table": TablePositionStore()}
    processes = Processes(
        client, category, transactional=kind == "transactional", position_store=stores.get(kind)
    )
    async with processes.running(store_url) as consumers:
        await eventually(lambda: shares(consumers) == [2, 2], 20)
        for size, expected in ((7, [3, 4]), (1, [0, 1])):
            writes = Background(processes.write, 100)
            await processes.resize(size)
            await writes.result()
            await eventually(partial(has_shares, consumers, expected), 20)
        await processes.write(20)
        await eventually(processes.is_done, 20)
        # Back to a number that it had.
        await processes.resize(4)
        await processes.write(20)
        await eventually(processes.is_done, 20)
    if kind == "transactional":
        assert await client.stream_version(f"{category}Out-1") == processes.written - 1


async def test_a_stopped_consumer_is_changed_where_its_positions_are_equal(
    client: AsyncClient, category: str
) -> None:
    processes = Processes(client, category)
    with pytest.raises(PositionConflictError, match="no partitions are stored of it"):
        await processes.resize(8)
    await processes.write(30)
    consumer = processes.join(client)
    await consumer.run(until="caught_up")
    await processes.resize(8, 5.0)
    # Repeated, as by a script that was killed before it got the result.
    await processes.resize(8, 5.0)
    await processes.write(30)
    await consumer.run(until="caught_up")
    assert processes.is_done()
    assert consumer.status().partition_count == 8


async def test_a_change_in_progress_is_joined_refused_beside_another_or_withdrawn(
    client: AsyncClient, store_url: str, category: str
) -> None:
    processes = Processes(client, category)
    async with processes.running(store_url) as consumers:
        await eventually(lambda: shares(consumers) == [2, 2], 20)
        processes.is_held = True
        await processes.write(STREAMS)
        change = Background(processes.resize, 8)
        await eventually(lambda: shares(consumers) != [2, 2], 20)
        with pytest.raises(PositionConflictError, match="being changed from 4 to 8"):
            await processes.resize(5)
        with pytest.raises(TimeoutError, match="have not finished their messages") as caught:
            await processes.resize(8, 0.5)
        assert "4 partitions go on as before" in str(caught.value)
        with pytest.raises(PositionConflictError, match="withdrawn by another process"):
            await change.result()
        change = Background(processes.resize, 8)
        with pytest.raises(TimeoutError, match="were not changed from 4 to 8"):
            await processes.resize(8, 0.5)
        await processes.resize(4)
        processes.is_held = False
        await eventually(processes.is_done, 20)
        with pytest.raises(PositionConflictError, match="withdrawn"):
            await change.result()
        await eventually(lambda: shares(consumers) == [2, 2], 20)
        await processes.write(20)
        await eventually(processes.is_done, 20)


async def test_a_change_waits_for_processes_if_partitions_are_at_different_positions(
    client: AsyncClient, store_url: str, category: str
) -> None:
    processes = Processes(client, category)
    await processes.write(20)
    consumer = processes.join(client)
    await consumer.run(until="caught_up")
    # One partition is behind, as that of a process that was killed.
    behind = AsyncConsumer(client, category, identifier="grown", group_member=1, group_size=4)
    await behind.reset_position("beginning")
    with pytest.raises(TimeoutError, match="no process runs it"):
        await processes.resize(8, 0.5)
    processes.seen.clear()
    change = Background(processes.resize, 8)
    async with processes.running(store_url) as consumers:
        await change.result()
        await eventually(lambda: shares(consumers) == [4, 4], 20)
        await processes.write(20)
        expected = set(range(20, 40))
        await eventually(lambda: expected <= {n for ns in processes.seen.values() for n in ns}, 20)
    handled = [n for ns in processes.seen.values() for n in ns if n >= 20]
    assert sorted(handled) == sorted(expected)


async def test_a_stream_that_a_parked_message_holds_is_held_in_its_new_partition(
    client: AsyncClient, category: str
) -> None:
    processes = Processes(client, category, on_error="park_stream", retry=NO_RETRY)
    processes.failing = 0
    consumer = processes.join(client)
    await processes.write(14)
    await consumer.run(until="caught_up")
    await processes.resize(9, 20.0)
    await processes.write(14)
    await consumer.run(until="caught_up")
    assert len(await consumer.list_parked()) == 4
    assert f"{category}-0" not in processes.seen
    processes.failing = None
    assert await consumer.replay_parked() == 4
    await processes.write(14)
    await consumer.run(until="caught_up")
    assert processes.is_done()


@pytest.mark.parametrize("size", [0, -1, 32768, True, 1.5, "8"])
async def test_a_number_that_is_none_is_refused(
    client: AsyncClient, category: str, size: Any
) -> None:
    with pytest.raises(ValidationError, match="Nothing was sent"):
        await client.resize_partitions(category, "grown", size)


async def test_a_group_of_the_new_size_that_has_run_refuses_the_change(
    client: AsyncClient, category: str
) -> None:
    processes = Processes(client, category)
    await processes.write(10)
    await processes.join(client).run(until="caught_up")
    member = AsyncConsumer(client, category, identifier="grown", group_member=1, group_size=3)
    await member.reset_position(5)
    with pytest.raises(PositionConflictError, match=r"grown\+1\+3' already has a position, 4"):
        await processes.resize(3)
    await processes.resize(2, 5.0)

"""Several concurrent handlers: the order, the stored position, the number of pages read ahead."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import pytest

from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    HandlerError,
    Message,
    NewMessage,
    RetryPolicy,
    ValidationError,
)
from messagedb._concurrency.backend_async import Event
from messagedb.consumers import NO_RETRY
from tests._async.consuming import numbered, saved
from tests.support.background_async import Background, eventually, sleep


class Handlers:
    """Handlers that do not finish before they are let go, by the number of the message."""

    def __init__(self, consumer: AsyncConsumer, *held: int) -> None:
        self.begun: list[int] = []
        self.done: list[int] = []
        self.at_once: list[int] = []
        self.failing: set[int] = set()
        self._doors = {n: Event() for n in held}
        consumer.handler(self._handle)

    @property
    def inside(self) -> int:
        """How many are begun and not done."""
        return len(self.begun) - len(self.done)

    def let_go(self, *numbers: int) -> None:
        """Let handlers finish, those of all messages if none is named."""
        for n in numbers or self._doors:
            self._doors[n].set()

    async def until_begun(self, count: int) -> None:
        """Wait until so many are begun."""
        await eventually(lambda: len(self.begun) == count)

    async def _handle(self, message: Message[Any]) -> None:
        n = message.data["n"]
        self.begun.append(n)
        self.at_once.append(self.inside)
        if n in self._doors:
            assert await self._doors[n].wait(20)
        if n in self.failing:
            raise RuntimeError(f"no {n}")
        self.done.append(n)


async def write_to(client: AsyncClient, category: str, streams: str) -> list[int]:
    """Write numbered messages to streams, a letter each, and give their global positions."""
    for n, letter in enumerate(streams):
        await client.write_message(f"{category}-{letter}", NewMessage("Noted", {"n": n}))
    messages = await client.get_category_messages(category, batch_size=-1)
    return [message.global_position for message in messages]


async def test_the_order_of_each_stream_is_kept(client: AsyncClient, category: str) -> None:
    chance = random.Random(category)
    consumer = AsyncConsumer(client, category, concurrency=4, batch_size=20)
    seen: dict[str, list[int]] = defaultdict(list)

    @consumer.handler
    async def note(message: Message[Any]) -> None:
        await sleep(chance.random() / 1000)
        seen[message.stream_name].append(message.position)

    positions = await write_to(client, category, "".join(chance.choices("abcdefgh", k=120)))
    await consumer.run(until="caught_up")
    assert sum(map(len, seen.values())) == 120
    for of_stream in seen.values():
        assert of_stream == list(range(len(of_stream)))
    assert (await saved(client, consumer))[-1] == positions[-1]
    assert consumer.status().handled_count == 120


async def test_so_many_at_once_and_not_more(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(client, category, concurrency=3)
    handlers = Handlers(consumer, *range(8))
    await write_to(client, category, "abcdefgh")
    async with consumer.running():
        for n in range(8):
            await handlers.until_begun(min(n + 3, 8))
            handlers.let_go(n)
        await consumer.wait_until_caught_up(timeout=10)
    assert sorted(handlers.done) == list(range(8))
    assert max(handlers.at_once) == 3


async def test_messages_of_one_stream_are_never_handled_at_once(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, concurrency=4)
    handlers = Handlers(consumer)
    await client.write_messages(f"{category}-a", numbered(0, 50))
    await consumer.run(until="caught_up")
    assert handlers.done == list(range(50))
    assert max(handlers.at_once) == 1


async def test_only_what_is_done_without_a_gap_is_stored(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(
        client,
        category,
        concurrency=3,
        position_update_interval=1,
        position_update_seconds=0.01,
    )
    handlers = Handlers(consumer, 1)
    positions = await write_to(client, category, "abacacac")
    async with consumer.running():
        await eventually(lambda: len(handlers.done) == 7)
        await eventually(lambda: consumer.status().stored_next_position == positions[0] + 1)
        assert consumer.status().next_position == positions[0] + 1
        handlers.let_go()
        await consumer.wait_until_caught_up(timeout=10)
    assert await saved(client, consumer) == [positions[0], positions[-1]]


async def test_messages_done_after_an_unfinished_one_are_handled_again(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, concurrency=3, retry=NO_RETRY)
    handlers = Handlers(consumer, 1)
    handlers.failing = {1}
    positions = await write_to(client, category, "abacac")
    run = Background(consumer.run)
    await eventually(lambda: len(handlers.done) == 5)
    handlers.let_go()
    error = (await run.outcome()).error
    assert isinstance(error, HandlerError)
    assert (error.stream_name, error.position) == (f"{category}-b", 0)
    assert await saved(client, consumer) == [positions[0]]
    assert consumer.status().state == "failed"

    handlers.failing = set()
    await consumer.run(until="caught_up")
    assert sorted(handlers.done) == [0, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert await saved(client, consumer) == [positions[0], positions[-1]]


async def test_a_slow_stream_does_not_hold_others_up(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(client, category, concurrency=2)
    handlers = Handlers(consumer, 0)
    await write_to(client, category, "a" + "abc" * 10)
    async with consumer.running():
        await eventually(lambda: len(handlers.done) == 20)
        assert handlers.inside == 1
        handlers.let_go()
        await consumer.wait_until_caught_up(timeout=10)
    assert len(handlers.done) == 31


async def test_a_failure_stops_it_and_lets_the_handlers_in_hand_finish(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, concurrency=3, retry=NO_RETRY)
    handlers = Handlers(consumer, 0, 1)
    handlers.failing = {2}
    positions = await write_to(client, category, "abcdef")
    run = Background(consumer.run)
    await eventually(lambda: consumer.status().state == "failed")
    assert not run.ended
    handlers.let_go()
    with pytest.raises(HandlerError, match="no 2") as info:
        await run.result()
    assert isinstance(info.value.__cause__, RuntimeError)
    assert sorted(handlers.begun) == [0, 1, 2]
    assert sorted(handlers.done) == [0, 1]
    assert await saved(client, consumer) == [positions[1]]


async def test_a_stop_begins_no_other_message_and_waits_for_those_in_hand(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, concurrency=3)
    handlers = Handlers(consumer, 0, 1, 2)
    positions = await write_to(client, category, "abcdef")
    run = Background(consumer.run)
    await eventually(lambda: handlers.inside == 3)
    stop = Background(consumer.stop)
    await eventually(lambda: consumer.status().state == "stopping")
    handlers.let_go(2, 0)
    await eventually(lambda: len(handlers.done) == 2)
    assert not stop.ended
    assert not run.ended
    handlers.let_go(1)
    await stop.result()
    await run.result()
    assert sorted(handlers.begun) == [0, 1, 2]
    assert await saved(client, consumer) == [positions[2]]
    assert consumer.status().state == "stopped"


async def test_one_lane_parks_and_the_others_go_on(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(client, category, concurrency=3, retry=NO_RETRY, on_error="park")
    handlers = Handlers(consumer, 0)
    handlers.failing = {1}
    positions = await write_to(client, category, "abcbab")
    async with consumer.running():
        await eventually(lambda: sorted(handlers.done) == [2, 3, 5])
        handlers.let_go()
        await consumer.wait_until_caught_up(timeout=10)
    assert sorted(handlers.done) == [0, 2, 3, 4, 5]
    status = consumer.status()
    assert (status.handled_count, status.parked_count, status.next_position) == (
        5,
        1,
        positions[-1] + 1,
    )
    (parked,) = await consumer.list_parked()
    assert (parked.stream_name, parked.position) == (f"{category}-b", 0)


async def test_the_waits_of_one_lane_do_not_hold_the_others_up(
    client: AsyncClient, category: str
) -> None:
    retry = RetryPolicy(max_attempts=2, delay=0.3, jitter=False)
    consumer = AsyncConsumer(client, category, concurrency=2, retry=retry)
    seen: list[tuple[int, int]] = []

    @consumer.handler
    async def note(message: Message[Any], context: AsyncContext) -> None:
        seen.append((message.data["n"], context.attempt))
        if seen[-1] == (0, 1):
            raise RuntimeError

    await write_to(client, category, "abcbca")
    await consumer.run(until="caught_up")
    assert seen[-2:] == [(0, 2), (5, 1)]
    assert sorted(seen) == [(0, 1), (0, 2), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]


async def test_each_message_has_its_transaction_so_that_one_is_handled_after_the_other(
    client: AsyncClient, category: str
) -> None:
    with pytest.raises(ValidationError, match="leave concurrency at 1"):
        AsyncConsumer(client, category, transactional=True, concurrency=2)
    for wrong in (0, -1, 1.5, True, None):
        value: Any = wrong
        with pytest.raises(ValidationError, match="concurrency must be an integer"):
            AsyncConsumer(client, category, concurrency=value)
    assert await client.stream_version(f"{category}:position") == NO_STREAM

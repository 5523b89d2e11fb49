"""``on_error="park_stream"``: a stream waits for its parked message, and keeps its order."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    HandlerError,
    Message,
    NewMessage,
    Park,
    ValidationError,
)
from messagedb._concurrency.backend_async import Event
from messagedb._consumers.held_streams import MAX_HELD_MESSAGES, MAX_HELD_STREAMS
from messagedb._consumers.parked_messages import build_held_record
from messagedb.consumers import NO_RETRY, AsyncBatchContext, ParkedMessage
from messagedb.errors import ParkingLimitError
from messagedb.testing import make_message
from tests._async.consuming import numbered
from tests.support.background_async import Background, eventually, sleep

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "transactional": {"transactional": True},
    "several in one transaction": {"transactional": True, "transaction_size": 100},
    "in lists": {"batches": True},
    "concurrent": {"concurrency": 4},
}


class Ledger:
    """A consumer that fails with some messages, and the numbers that it has handled by stream."""

    def __init__(
        self, client: AsyncClient, category: str, *, batches: bool = False, **options: Any
    ) -> None:
        self.client = client
        self.category = category
        self.failing: set[int] = set()
        self.fails: Callable[[Message[Any]], bool] = lambda message: (
            message.data["n"] in self.failing
        )
        self.handled: dict[str, list[int]] = defaultdict(list)
        self.door: Event | None = None
        self.calls = 0
        defaults: dict[str, Any] = {"identifier": "ledger", "on_error": "park_stream"}
        options = {**defaults, "retry": NO_RETRY, **options}
        self.consumer = AsyncConsumer(client, category, poll_interval=0.02, **options)
        if batches:
            self.consumer.batch_handler(self.handle_batch)
        else:
            self.consumer.handler(self.handle)

    async def handle(self, message: Message[Any], context: AsyncContext) -> None:
        self.calls += 1
        if self.door is not None:
            assert await self.door.wait(20)
        if self.fails(message):
            raise ValueError(f"no {message.data['n']}")
        self.handled[message.stream_name.partition("-")[2]].append(message.data["n"])

    async def handle_batch(self, messages: list[Message[Any]], context: AsyncBatchContext) -> None:
        self.calls += 1
        if any(self.fails(message) for message in messages):
            raise ValueError("no")
        for message in messages:
            self.handled[message.stream_name.partition("-")[2]].append(message.data["n"])

    async def write(self, stream: str, first: int, count: int) -> None:
        await self.client.write_messages(f"{self.category}-{stream}", numbered(first, count))

    async def run(self) -> None:
        await self.consumer.run(until="caught_up")

    async def parked(self) -> list[ParkedMessage]:
        return await self.consumer.list_parked()

    async def places(self) -> list[tuple[str, int, int | None, int]]:
        """Return stream, position, what it waits for and how many wait behind it, of each."""
        return [
            (each.stream_name.partition("-")[2], each.position, each.waits_for, each.behind_count)
            for each in await self.parked()
        ]


@pytest.fixture(params=KINDS)
def ledger(request: pytest.FixtureRequest, client: AsyncClient, category: str) -> Ledger:
    """Return consumers of each kind."""
    return Ledger(client, category, **KINDS[request.param])


async def test_a_stream_waits_behind_its_parked_message_and_flows_again_after_a_replay(
    client: AsyncClient, category: str, ledger: Ledger
) -> None:
    for n in range(5):
        for stream in ("a", "b", "c"):
            await ledger.write(stream, n + (100 if stream == "a" else 0), 1)
    ledger.failing = {101}
    await ledger.run()
    others = {"b": [0, 1, 2, 3, 4], "c": [0, 1, 2, 3, 4]}
    assert ledger.handled.pop("a")[-1] == 100
    assert {name: numbers[-5:] for name, numbers in ledger.handled.items()} == others
    waiting = [("a", 1, None, 3), ("a", 2, 1, 0), ("a", 3, 1, 0), ("a", 4, 1, 0)]
    assert await ledger.places() == waiting
    first, second, *_ = await ledger.parked()
    assert first.holds_stream
    assert first.attempts == 1
    assert "no" in first.reason
    assert (second.attempts, second.reason) == (0, "behind message 1 of its stream")
    status = ledger.consumer.status()
    assert (status.held_stream_count, status.behind_count, status.parked_count) == (1, 3, 4)
    # The next run knows it, also one with another policy.
    again = Ledger(client, category, on_error="stop")
    await ledger.write("a", 105, 1)
    await ledger.write("b", 5, 1)
    await again.run()
    assert again.handled == {"b": [5]}
    (info,) = await client.list_consumers(category)
    assert (info.parked_count, info.held_stream_count, info.behind_count) == (5, 1, 4)
    ledger.failing = set()
    assert await ledger.consumer.replay_parked() == 5
    assert ledger.handled["a"] == [101, 102, 103, 104, 105]
    assert await ledger.parked() == []
    await ledger.write("a", 106, 1)
    await again.run()
    assert again.handled["a"] == [106]
    (info,) = await client.list_consumers(category)
    assert (info.parked_count, info.held_stream_count, info.behind_count) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["plain", "transactional", "concurrent"])
async def test_a_running_consumer_sees_what_others_replay_and_discard(
    client: AsyncClient, category: str, kind: str
) -> None:
    ledger = Ledger(client, category, **KINDS[kind])
    other = Ledger(client, category)
    ledger.failing = {0, 100}
    async with ledger.consumer.running():
        for stream, first in (("a", 0), ("b", 100)):
            await ledger.write(stream, first, 3)
        await eventually(lambda: ledger.consumer.status().behind_count == 4)
        assert await other.consumer.replay_parked(stream_name=f"{category}-a") == 3
        assert other.handled == {"a": [0, 1, 2]}
        assert await other.consumer.discard_parked(stream_name=f"{category}-b") == 3
        # Without another message it is noticed, too.
        await eventually(lambda: ledger.consumer.status().held_stream_count == 0, 20)
        for stream, first in (("a", 3), ("b", 103)):
            await ledger.write(stream, first, 2)
        await eventually(lambda: len(ledger.handled["a"] + ledger.handled["b"]) == 4)
    assert ledger.handled == {"a": [3, 4], "b": [103, 104]}
    assert await ledger.parked() == []


@pytest.mark.parametrize("transactional", [False, True])
async def test_messages_that_come_during_a_replay_join_its_end(
    client: AsyncClient, category: str, transactional: bool
) -> None:
    ledger = Ledger(client, category, transactional=transactional)
    other = Ledger(client, category, transactional=transactional)
    ledger.failing = {0}
    other.door = Event()
    async with ledger.consumer.running():
        await ledger.write("a", 0, 2)
        await eventually(lambda: ledger.consumer.status().behind_count == 1)
        replay = Background(other.consumer.replay_parked)
        await eventually(lambda: other.calls == 1)
        await ledger.write("a", 2, 2)
        if not transactional:  # otherwise they wait for the transaction of the replay
            await eventually(lambda: ledger.consumer.status().behind_count == 3)
        assert ledger.handled == {}
        other.door.set()
        count = await replay.result()
        await eventually(lambda: len(other.handled["a"] + ledger.handled["a"]) == 4)
    assert other.handled["a"] + ledger.handled["a"] == [0, 1, 2, 3]
    assert count == len(other.handled["a"])
    if not transactional:
        assert count == 4


async def test_a_replay_that_fails_holds_only_that_stream(
    client: AsyncClient, category: str, ledger: Ledger
) -> None:
    for stream, first in (("a", 0), ("b", 100), ("c", 200)):
        await ledger.write(stream, first, 3)
    ledger.failing = {0, 100, 200}
    await ledger.run()
    ledger.failing = {101}
    ledger.handled.clear()
    with pytest.raises(HandlerError, match=r"no.* It stays parked"):
        await ledger.consumer.replay_parked()
    assert ledger.handled == {"a": [0, 1, 2], "b": [100], "c": [200, 201, 202]}
    assert await ledger.places() == [("b", 1, None, 1), ("b", 2, 1, 0)]
    failed, _ = await ledger.parked()
    assert failed.attempts == 1
    assert failed.reason.startswith("ValueError: no")
    with pytest.raises(HandlerError):
        await ledger.consumer.replay_parked()
    assert [each.attempts for each in await ledger.parked()] == [2, 0]
    ledger.failing = set()
    assert await ledger.consumer.replay_parked(until=1, stream_name=f"{category}-b") == 1
    assert await ledger.places() == [("b", 2, None, 0)]
    assert await ledger.consumer.replay_parked() == 1
    assert ledger.handled["b"] == [100, 101, 102]


async def test_a_message_is_not_replayed_before_the_one_that_it_waits_for(
    client: AsyncClient, category: str
) -> None:
    ledger = Ledger(client, category)
    await ledger.write("a", 0, 4)
    ledger.failing = {0}
    await ledger.run()
    ledger.failing = set()
    zero, one, two, three = await ledger.parked()
    for wrong in (one, [zero, two], [three]):
        with pytest.raises(ValidationError, match=r"waits for message \d.* Nothing was changed"):
            await ledger.consumer.replay_parked(wrong)
    assert ledger.handled == {}
    assert await ledger.consumer.replay_parked([one, zero]) == 2
    assert ledger.handled["a"] == [0, 1]
    # The next one is the first when the first is discarded.
    assert await ledger.consumer.discard_parked(two) == 1
    assert await ledger.places() == [("a", 3, None, 0)]
    assert await ledger.consumer.replay_parked([zero, three]) == 1
    assert ledger.handled["a"] == [0, 1, 3]
    wrong_arguments: list[dict[str, Any]] = [
        {"parked": [zero], "stream_name": f"{category}-a"},
        {"until": 3},
        {"until": -1, "stream_name": f"{category}-a"},
        {"stream_name": ""},
    ]
    for arguments in wrong_arguments:
        with pytest.raises(ValidationError):
            await ledger.consumer.replay_parked(**arguments)
    with pytest.raises(ValidationError, match="Nothing was changed"):
        await ledger.consumer.discard_parked()


async def test_two_replays_of_a_stream_handle_each_message_once_and_in_order(
    client: AsyncClient, category: str
) -> None:
    ledger = Ledger(client, category)
    await ledger.write("a", 0, 20)
    ledger.failing = {0}
    await ledger.run()
    ledger.failing = set()
    replays = [Background(ledger.consumer.replay_parked) for _ in range(3)]
    assert sum([await each.result() for each in replays]) == 20
    assert ledger.handled["a"] == list(range(20))


async def test_messages_before_a_parked_one_are_handled_again_and_parked_ones_are_not(
    client: AsyncClient, category: str, ledger: Ledger
) -> None:
    await ledger.write("a", 0, 4)
    ledger.failing = {2}
    await ledger.run()
    before = await ledger.parked()
    ledger.handled.clear()
    await ledger.consumer.reset_position("beginning")
    ledger.failing = set()
    await ledger.run()
    assert ledger.handled == {"a": [0, 1]}
    assert await ledger.parked() == before
    # One before it that fails now is the first.
    ledger.failing = {1}
    await ledger.consumer.reset_position("beginning")
    await ledger.run()
    places = [("a", 2, 1, 0), ("a", 3, 1, 0), ("a", 1, None, 2)]
    assert await ledger.places() == places
    ledger.failing = set()
    ledger.handled.clear()
    assert await ledger.consumer.replay_parked() == 3
    assert ledger.handled == {"a": [1, 2, 3]}


async def test_a_handler_and_on_error_decide_whether_a_stream_is_held(
    client: AsyncClient, category: str
) -> None:
    async def handle(message: Message[Any]) -> None:
        if message.data["n"] == 0:
            raise Park("by the handler", stream=message.stream_name.endswith("-held"))

    for stream in ("held", "free"):
        await client.write_messages(f"{category}-{stream}", numbered(0, 2))
    policies: list[Literal["stop", "park", "park_stream"]] = ["stop", "park", "park_stream"]
    for on_error in policies:
        consumer = AsyncConsumer(client, category, identifier=on_error, on_error=on_error)
        consumer.handler(handle)
        await consumer.run(until="caught_up")
        found = [
            (each.stream_name, each.position, each.holds_stream)
            for each in await consumer.list_parked()
        ]
        expected = [(f"{category}-held", 0, True), (f"{category}-held", 1, True)]
        assert found == [*expected, (f"{category}-free", 0, False)]

    def decide(_message: Message[Any], _error: Exception) -> str:
        return "park_stream"

    ledger = Ledger(client, category, identifier="asks", on_error=decide)
    ledger.failing = {0}
    await ledger.run()
    assert [place[1:] for place in await ledger.places()] == [(0, None, 1), (1, 0, 0)] * 2


@pytest.mark.parametrize("of_streams", [False, True])
async def test_a_consumer_stops_before_more_wait_than_may(
    client: AsyncClient, category: str, of_streams: bool
) -> None:
    """Nothing is dropped, and it goes on when there is room again."""
    ledger = Ledger(client, category)
    limit = MAX_HELD_STREAMS if of_streams else MAX_HELD_MESSAGES
    messages = [
        make_message(
            f"{category}-{n if of_streams else 'a'}", "Noted", position=0 if of_streams else n
        )
        for n in range(limit)
    ]
    records = [
        build_held_record(each, category, "no", 1, version=n, behind=None)
        for n, each in enumerate(messages)
    ]
    await client.write_messages(f"{category}:parked-ledger", records)
    stream = f"{category}-{'b' if of_streams else 'a'}"
    position = 0 if of_streams else limit
    if not of_streams:
        await client.write_messages(stream, numbered(0, limit))
    await client.write_message(stream, NewMessage("Noted", {"n": -1}))
    ledger.failing = {-1}
    with pytest.raises(ParkingLimitError, match=r"1,024.*Nothing is lost") as caught:
        await ledger.run()
    error = caught.value
    assert (error.stream_name, error.position) == (stream, position)
    assert (error.limit, error.is_of_streams) == (limit, of_streams)
    assert len(await ledger.parked()) == limit
    (info,) = await client.list_consumers(category)
    message = (await client.get_stream_messages(stream, position=position))[0]
    assert (info.next_position or 1) <= message.global_position
    first = (await ledger.parked())[0]
    assert await ledger.consumer.discard_parked(first) == 1
    await ledger.run()
    assert [(each.stream_name, each.position) for each in await ledger.parked()][-1] == (
        stream,
        position,
    )


@pytest.mark.parametrize("kind", ["plain", "transactional", "concurrent"])
async def test_each_stream_keeps_its_order_whatever_fails_and_is_replayed(
    client: AsyncClient, category: str, kind: str
) -> None:
    """Replays beside a consumer and a writer: each message is handled once, in order."""
    chance = random.Random(7)
    ledger = Ledger(client, category, **KINDS[kind])
    ledger.fails = lambda message: chance.random() < 0.1
    streams, length, is_over = [f"s{n}" for n in range(12)], 12, Event()

    async def replay() -> None:
        while not is_over.is_set():
            with suppress(HandlerError):
                await ledger.consumer.replay_parked()
            await sleep(0.02)

    async with ledger.consumer.running():
        replays = [Background(replay) for _ in range(2)]
        for n in range(length):
            for stream in streams:
                await ledger.write(stream, n, 1)
        await eventually(
            lambda: sum(len(numbers) for numbers in ledger.handled.values()) >= 12 * length, 60
        )
        is_over.set()
        for each in replays:
            await each.result()
    assert ledger.handled == {stream: list(range(length)) for stream in streams}
    assert await ledger.parked() == []

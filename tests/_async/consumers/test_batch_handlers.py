"""Handlers of lists of messages: the lists, the order, and a bad message among them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from messagedb import (
    AsyncAllConsumer,
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    HandlerError,
    Message,
    NewMessage,
    Park,
    Retry,
    RetryPolicy,
    Skip,
    Stop,
    TablePositionStore,
    ValidationError,
)
from messagedb.consumers import NO_RETRY, AsyncBatchContext, HandlerOutcome
from tests._async.consuming import numbered, saved, write
from tests._async.load import numbers_of
from tests.support.background_async import Background, eventually

QUICK = RetryPolicy(max_attempts=3, delay=0.001)
PAGE = 10
COUNT = 25


class Listed(msgspec.Struct):
    n: int


class Counted(msgspec.Struct):
    n: int


class Batches:
    """A batch handler that copies each number, and has trouble with some.

    Attributes:
        calls: the numbers of each call.
        attempts: the attempt of each call.
        trouble: the problems by number.
        times: how often there is trouble.
    """

    def __init__(self, category: str) -> None:
        self.copies = f"{category}Copy"
        self.calls: list[list[int]] = []
        self.attempts: list[int] = []
        self.trouble: dict[int, Any] = {}
        self.times = 1000
        self.by = "raise"

    async def handle(
        self, messages: list[Message[Any]], context: AsyncBatchContext
    ) -> HandlerOutcome | None:
        assert context.messages is messages
        numbers = [message.data["n"] for message in messages]
        self.calls.append(numbers)
        self.attempts.append(context.attempt)
        new = [
            NewMessage("Copied", message.data, id=context.for_message(message).derive_id("copy"))
            for message in messages
        ]
        await context.client.write_messages(f"{self.copies}-1", new)
        for n in numbers:
            if n in self.trouble and self.times > 0:
                self.times -= 1
                if self.by == "return":
                    outcome: HandlerOutcome = self.trouble[n]
                    return outcome
                raise self.trouble[n]
        return None


def make(client: AsyncClient, category: str, **options: Any) -> AsyncConsumer:
    """Make a consumer of small pages, whose polls are fast."""
    chosen: dict[str, Any] = {
        "identifier": "batches",
        "batch_size": PAGE,
        "poll_interval": 0.01,
        "retry": NO_RETRY,
        "position_update_interval": 1,
    }
    return AsyncConsumer(client, category, **{**chosen, **options})


STORES: list[Any] = [
    {},
    {"transactional": True},
    {"transactional": True, "position_store": TablePositionStore()},
]
IDS = ["plain", "stream", "table"]


@pytest.mark.parametrize("options", STORES, ids=IDS)
async def test_it_gets_the_messages_of_a_page_in_order(
    client: AsyncClient, category: str, options: dict[str, Any]
) -> None:
    positions = await write(client, f"{category}-1", 0, COUNT)
    consumer = make(client, category, **options)
    batches = Batches(category)
    consumer.batch_handler(batches.handle)
    await consumer.run(until="caught_up")
    numbers = list(range(COUNT))
    assert batches.calls == [numbers[:10], numbers[10:20], numbers[20:]]
    assert await numbers_of(client, batches.copies) == {"1": numbers}
    assert consumer.status().handled_count == COUNT
    assert consumer.status().stored_next_position == positions[-1] + 1
    if options == {"transactional": True}:
        assert await saved(client, consumer) == [positions[n - 1] for n in (10, 20, COUNT)]


@pytest.mark.parametrize("size", [1, 4, 100])
async def test_a_list_is_not_longer_than_a_transaction(
    client: AsyncClient, category: str, size: int
) -> None:
    await write(client, f"{category}-1", 0, COUNT)
    consumer = make(client, category, transactional=True, transaction_size=size)
    batches = Batches(category)
    consumer.batch_handler(batches.handle)
    await consumer.run(until="caught_up")
    assert max(len(call) for call in batches.calls) == min(size, PAGE)
    assert await numbers_of(client, batches.copies) == {"1": list(range(COUNT))}


async def test_it_gets_instances_of_the_classes_of_its_annotation(
    client: AsyncClient, category: str
) -> None:
    for n, name in enumerate(["Listed", "Counted", "Listed", "Ignored", "Counted"]):
        await client.write_messages(f"{category}-1", numbered(n, 1, name))
    consumer = make(client, category)
    calls: list[list[Listed | Counted]] = []
    contexts: list[AsyncBatchContext] = []

    @consumer.batch_handler
    async def count(events: list[Listed | Counted], context: AsyncBatchContext) -> None:
        calls.append(events)
        contexts.append(context)

    await consumer.run(until="caught_up")
    assert calls == [[Listed(0), Counted(1), Listed(2), Counted(4)]]
    assert [message.type for message in contexts[0].messages] == [
        "Listed",
        "Counted",
        "Listed",
        "Counted",
    ]
    assert contexts[0].client is client
    with pytest.raises(ValidationError, match="no transaction"):
        assert contexts[0].transaction


@pytest.mark.parametrize("options", STORES, ids=IDS)
async def test_a_message_of_another_handler_ends_the_list(
    client: AsyncClient, category: str, options: dict[str, Any]
) -> None:
    for n, name in enumerate("AABAACCBBA"):
        await client.write_messages(f"{category}-1", numbered(n, 1, name))
    consumer = make(client, category, **options)
    calls: list[Any] = []

    @consumer.batch_handler("A", "C")
    async def several(messages: list[Message[Any]]) -> None:
        calls.append([message.data["n"] for message in messages])

    @consumer.handler("B")
    async def one(message: Message[Any], context: AsyncContext) -> None:
        calls.append(message.data["n"])

    await consumer.run(until="caught_up")
    assert calls == [[0, 1], 2, [3, 4, 5, 6], 7, 8, [9]]
    assert consumer.status().handled_count == 10


@pytest.mark.parametrize("options", STORES, ids=IDS)
@pytest.mark.parametrize("bad", [0, 4, PAGE - 1, PAGE, COUNT - 1])
@pytest.mark.parametrize(
    ("by", "problem"),
    [("raise", ValueError("bad")), ("raise", Park("bad")), ("return", Skip("bad"))],
    ids=["error", "Park", "Skip"],
)
async def test_one_bad_message_is_isolated(
    client: AsyncClient, category: str, options: dict[str, Any], bad: int, by: str, problem: Any
) -> None:
    positions = await write(client, f"{category}-1", 0, COUNT)
    consumer = make(client, category, on_error="park", **options)
    batches = Batches(category)
    batches.trouble, batches.by = {bad: problem}, by
    consumer.batch_handler(batches.handle)
    await consumer.run(until="caught_up")
    assert [bad] in batches.calls
    # Without a transaction, what the handler has written before its error stays.
    others = [n for n in range(COUNT) if n != bad or not options]
    assert await numbers_of(client, batches.copies) == {"1": others}
    parked = [each.global_position for each in await consumer.list_parked()]
    assert parked == ([] if isinstance(problem, Skip) else [positions[bad]])
    status = consumer.status()
    assert (status.handled_count, status.parked_count + status.skipped_count) == (COUNT - 1, 1)
    assert status.stored_next_position == positions[-1] + 1
    batches.trouble = {}
    if parked:
        assert await consumer.replay_parked() == 1
        assert batches.calls[-1] == [bad]
        assert await consumer.list_parked() == []


@pytest.mark.parametrize("options", STORES, ids=IDS)
async def test_what_is_before_the_message_that_stops_it_is_done(
    client: AsyncClient, category: str, options: dict[str, Any]
) -> None:
    positions = await write(client, f"{category}-1", 0, COUNT)
    consumer = make(client, category, **options)
    batches = Batches(category)
    batches.trouble = {14: Stop("no more today")}
    consumer.batch_handler(batches.handle)
    with pytest.raises(HandlerError, match="no more today") as caught:
        await consumer.run(until="caught_up")
    assert caught.value.global_position == positions[14]
    numbers = list(range(COUNT))
    assert batches.calls == [numbers[:10], numbers[10:20], [10], [11], [12], [13], [14]]
    assert consumer.status().stored_next_position == positions[14]
    batches.trouble = {}
    await consumer.run(until="caught_up")
    assert batches.calls[-2:] == [numbers[14:24], numbers[24:]]
    assert await numbers_of(client, batches.copies) == {"1": numbers}


async def test_a_message_is_retried_by_itself(client: AsyncClient, category: str) -> None:
    await write(client, f"{category}-1", 0, PAGE)
    consumer = make(client, category, retry=QUICK)
    batches = Batches(category)
    batches.trouble, batches.times = {1: Retry(0.001, "not yet")}, 3
    consumer.batch_handler(batches.handle)
    await consumer.run(until="caught_up")
    numbers = list(range(PAGE))
    assert batches.calls[:5] == [numbers, [0], [1], [1], [1]]
    assert batches.attempts[:5] == [1, 1, 1, 2, 3]
    assert await numbers_of(client, batches.copies) == {"1": numbers}


async def test_data_that_does_not_fit_concerns_its_message_only(
    client: AsyncClient, category: str
) -> None:
    three = NewMessage("Listed", {"n": "three"})
    await client.write_messages(
        f"{category}-1", [*numbered(0, 3, "Listed"), three, *numbered(4, 3, "Listed")]
    )
    consumer = make(client, category, transactional=True, on_error="park")
    seen: list[int] = []

    @consumer.batch_handler
    async def note(events: list[Listed]) -> None:
        seen.extend(event.n for event in events)

    await consumer.run(until="caught_up")
    assert seen == [0, 1, 2, 4, 5, 6]
    (parked,) = await consumer.list_parked()
    assert parked.position == 3


@pytest.mark.parametrize("result", [[Park("one"), None], [], {0: Skip("one")}, Park, True, 0])
async def test_results_for_single_messages_stop_it_before_the_list(
    client: AsyncClient, category: str, result: Any
) -> None:
    await write(client, f"{category}-1", 0, 2)
    consumer = make(client, category, on_error="skip")
    calls: list[int] = []

    @consumer.batch_handler
    async def note(messages: list[Message[Any]]) -> Any:
        calls.append(len(messages))
        return result

    with pytest.raises(HandlerError, match=r"which is not an outcome.*for the whole list"):
        await consumer.run(until="caught_up")
    # Without another attempt, and without on_error.
    assert calls == [2, 1]
    assert consumer.status().stored_next_position is None


async def test_an_outcome_for_the_list_asks_for_each_message(
    client: AsyncClient, category: str
) -> None:
    await write(client, f"{category}-1", 0, 4)
    consumer = make(client, category)
    batches = Batches(category)
    batches.trouble = {n: Skip("odd") for n in (1, 3)}
    consumer.batch_handler(batches.handle)
    await consumer.run(until="caught_up")
    assert batches.calls == [[0, 1, 2, 3], [0], [1], [2], [3]]
    assert (consumer.status().handled_count, consumer.status().skipped_count) == (2, 2)


@pytest.mark.parametrize("options", STORES, ids=IDS)
async def test_the_list_is_the_handler_s_to_change(
    client: AsyncClient, category: str, options: dict[str, Any]
) -> None:
    positions = await write(client, f"{category}-1", 0, 4)
    consumer = make(client, category, **options)
    calls: list[int] = []

    @consumer.batch_handler
    async def empty(messages: list[Message[Any]], context: AsyncBatchContext) -> None:
        calls.append(len(messages))
        messages.clear()
        context.messages.clear()
        if len(calls) == 1:
            raise ValueError("once")

    await consumer.run(until="caught_up")
    assert calls == [4, 1, 1, 1, 1]
    assert consumer.status().handled_count == 4
    assert consumer.status().stored_next_position == positions[-1] + 1


async def test_middleware_is_called_around_the_list(client: AsyncClient, category: str) -> None:
    await write(client, f"{category}-1", 0, COUNT)
    sizes: list[int] = []

    async def measure(context: AsyncBatchContext, call_next: Any) -> Any:
        sizes.append(len(context.messages))
        return await call_next(context)

    consumer = make(client, category, middleware=[measure])
    batches = Batches(category)
    consumer.batch_handler(batches.handle)
    await consumer.run(until="caught_up")
    assert sizes == [10, 10, 5]


async def test_a_stop_lets_the_list_end(client: AsyncClient, category: str) -> None:
    positions = await write(client, f"{category}-1", 0, COUNT)
    consumer = make(client, category, transactional=True)
    stops: list[Background[None]] = []
    seen: list[int] = []

    @consumer.batch_handler
    async def note(messages: list[Message[Any]]) -> None:
        stops.append(Background(consumer.stop))
        await eventually(lambda: consumer.status().state == "stopping")
        seen.extend(message.data["n"] for message in messages)

    await consumer.run()
    await stops[0].result()
    assert seen == list(range(PAGE))
    assert consumer.status().stored_next_position == positions[PAGE]


async def test_a_group_and_a_consumer_of_several_categories(
    client: AsyncClient, category: str
) -> None:
    for stream in range(4):
        await write(client, f"{category}-{stream}", 0, COUNT)
    consumers: list[Any] = [
        make(client, category, transactional=True, group_member=n, group_size=2) for n in range(2)
    ]
    # The store has the messages of other tests before them.
    (first,) = await client.get_category_messages(category, batch_size=1)
    consumers.append(
        AsyncAllConsumer(
            client,
            [category],
            identifier=category,
            batch_size=PAGE,
            start=first.global_position,
        )
    )
    seen: list[list[tuple[str, int]]] = []

    def add_handler(consumer: AsyncConsumer | AsyncAllConsumer) -> None:
        mine: list[tuple[str, int]] = []
        seen.append(mine)

        @consumer.batch_handler
        async def note(messages: list[Message[Any]]) -> None:
            mine.extend((message.stream_name, message.data["n"]) for message in messages)

    for consumer in consumers:
        add_handler(consumer)
        await consumer.run(until="caught_up")
    whole = [(f"{category}-{stream}", n) for stream in range(4) for n in range(COUNT)]
    assert seen[2] == whole
    assert sorted(seen[0] + seen[1]) == whole
    assert seen[0]
    assert seen[1]


async def test_it_is_refused_beside_concurrency(client: AsyncClient, category: str) -> None:
    consumer = make(client, category, concurrency=4)

    async def note(messages: list[Message[Any]]) -> None:
        raise AssertionError(messages)

    with pytest.raises(ValidationError, match="concurrency=4 handles messages at the same time"):
        consumer.batch_handler(note)

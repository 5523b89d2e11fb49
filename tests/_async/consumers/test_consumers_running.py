"""Runs of a consumer: where they begin and end, how they are waited for, what they tell."""

from __future__ import annotations

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
    ValidationError,
)
from messagedb._concurrency.backend_async import Event
from messagedb.consumers import NO_RETRY
from tests._async.consuming import numbered, record_numbers, saved, write
from tests.support.background_async import Background, eventually


async def test_where_a_run_begins(client: AsyncClient, category: str) -> None:
    positions = await write(client, f"{category}-1", 0, 4)
    starts: list[tuple[Any, list[int]]] = [
        ("stored", [0, 1, 2, 3]),
        ("beginning", [0, 1, 2, 3]),
        ("end", []),
        (0, [0, 1, 2, 3]),
        (1, [0, 1, 2, 3]),
        (positions[2], [2, 3]),
        (positions[3] + 1, []),
    ]
    for start, expected in starts:
        consumer = AsyncConsumer(client, category, identifier=str(start), start=start)
        seen = record_numbers(consumer)
        await consumer.run(until="caught_up")
        assert (start, seen) == (start, expected)


async def test_only_stored_goes_on_where_the_last_run_ended(
    client: AsyncClient, category: str
) -> None:
    positions = await write(client, f"{category}-1", 0, 2)
    starts: list[Any] = ["stored", "beginning", "end", positions[1]]
    consumers = [
        AsyncConsumer(client, category, identifier=str(start), start=start) for start in starts
    ]
    seen = [record_numbers(consumer) for consumer in consumers]
    for n in (2, 3):
        for consumer in consumers:
            await consumer.run(until="caught_up")
        await write(client, f"{category}-1", n, 1)
    assert seen == [[0, 1, 2], [0, 1, 0, 1, 2], [], [1, 1, 2]]


@pytest.mark.parametrize("batch_size", [1, 2, 3])
async def test_nothing_is_lost_or_repeated_where_pages_meet(
    client: AsyncClient, category: str, batch_size: int
) -> None:
    consumer = AsyncConsumer(client, category, batch_size=batch_size)
    seen = record_numbers(consumer)
    written = 0
    for count in (0, 1, 2, 3, 4, 6, 7):
        if count:
            await write(client, f"{category}-{count}", written, count)
        written += count
        await consumer.run(until="caught_up")
        assert seen == list(range(written))
    assert consumer.status().handled_count == written


async def test_until_caught_up_ends_at_the_head_that_was_there(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category)
    seen: list[int] = []

    @consumer.handler
    async def breed(message: Message[Any], context: AsyncContext) -> None:
        seen.append(message.data["n"])
        await context.client.write_messages(f"{category}-2", numbered(message.data["n"] + 100, 1))

    await write(client, f"{category}-1", 0, 3)
    await consumer.run(until="caught_up")
    assert seen == [0, 1, 2]
    await consumer.run(until="caught_up")
    assert seen == [0, 1, 2, 100, 101, 102]
    wrong: Any = "the end"
    with pytest.raises(ValidationError, match="until must be 'caught_up'"):
        await consumer.run(until=wrong)


async def test_an_empty_category_stores_nothing(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(client, category)
    record_numbers(consumer)
    await consumer.run(until="caught_up")
    async with consumer.running():
        await consumer.wait_until_caught_up(timeout=5)
    assert await saved(client, consumer) == []


async def test_it_runs_while_a_block_does(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(client, category, poll_interval=0.01)
    seen = record_numbers(consumer)
    await write(client, f"{category}-1", 0, 2)
    async with consumer.running() as it:
        assert it is consumer
        await consumer.wait_until_caught_up(timeout=5)
        assert seen == [0, 1]
        position = await client.write_message(f"{category}-1", numbered(2, 1)[0])
        await consumer.wait_until_processed(f"{category}-1", position, timeout=5)
        assert seen == [0, 1, 2]
        await eventually(lambda: consumer.status().state == "caught up")
        assert "(caught up)" in repr(consumer)
    assert consumer.status().state == "stopped"
    await consumer.stop()
    await write(client, f"{category}-1", 3, 1)
    async with consumer.running():
        await consumer.wait_until_caught_up(timeout=5)
    assert seen == [0, 1, 2, 3]


async def test_it_runs_until_it_is_stopped(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(client, category)
    seen = record_numbers(consumer)
    run = Background(consumer.run)
    await eventually(lambda: consumer.status().state == "caught up")
    with pytest.raises(ValidationError, match="it is already running"):
        await consumer.run()
    with pytest.raises(ValidationError, match="it is already running"):
        async with consumer.running():
            raise AssertionError
    await consumer.stop(timeout=5)
    assert consumer.status().state == "stopped"
    await run.result()
    assert seen == []


async def test_a_stop_lets_the_handler_finish_and_stores_its_message(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category)
    began, go_on = Event(), Event()
    seen: list[int] = []

    @consumer.handler
    async def slow(message: Message[Any]) -> None:
        began.set()
        assert await go_on.wait(5)
        seen.append(message.data["n"])

    positions = await write(client, f"{category}-1", 0, 3)
    run = Background(consumer.run)
    assert await began.wait(5)
    stop = Background(consumer.stop, timeout=5)
    await eventually(lambda: consumer.status().state == "stopping")
    assert consumer.status().current_message == (f"{category}-1", 0, 1)
    assert not run.ended
    go_on.set()
    await stop.result()
    await run.result()
    assert seen == [0]
    assert await saved(client, consumer) == positions[:1]
    await consumer.run(until="caught_up")
    assert seen == [0, 1, 2]


async def test_a_stop_that_a_handler_outlasts_says_so_and_keeps_the_position_before_it(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category)
    began, go_on = Event(), Event()

    @consumer.handler
    async def endless(message: Message[Any]) -> None:
        if message.data["n"] == 1:
            began.set()
            await go_on.wait(5)

    positions = await write(client, f"{category}-1", 0, 2)
    run = Background(consumer.run)
    assert await began.wait(5)
    with pytest.raises(TimeoutError, match=r"message 1 of stream .* did not finish within 0\.05"):
        await consumer.stop(timeout=0.05)
    assert await saved(client, consumer) == positions[:1]
    go_on.set()
    await run.outcome()


async def test_the_end_of_the_block_raises_what_the_run_did(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, retry=NO_RETRY)

    @consumer.handler
    async def fail(message: Message[Any]) -> None:
        raise RuntimeError("broken")

    await write(client, f"{category}-1", 0, 1)
    with pytest.raises(HandlerError, match="broken"):
        async with consumer.running():
            await eventually(lambda: consumer.status().state == "failed")
    # The block's own error comes first.
    with pytest.raises(ZeroDivisionError):
        async with consumer.running():
            _ = 1 / 0
    assert consumer.status().state in ("failed", "stopped")


async def test_options_out_of_range_send_nothing(client: AsyncClient, category: str) -> None:
    wrong: Any
    for wrong in ({"batch_size": 0}, {"start": "now"}, {"on_error": "retry"}, {"group_size": 2}):
        with pytest.raises(ValidationError):
            AsyncConsumer(client, category, **wrong)
    with pytest.raises(ValidationError, match="must be a category"):
        AsyncConsumer(client, f"{category}-1")
    consumer = AsyncConsumer(client, category)
    record_numbers(consumer)
    for wrong in (0, -1, "soon", None):
        with pytest.raises(ValidationError, match="timeout must be seconds"):
            await consumer.stop(timeout=wrong)
        with pytest.raises(ValidationError, match="stop_timeout must be seconds"):
            async with consumer.running(stop_timeout=wrong):
                raise AssertionError
    await client.write_message(f"{category}-1", NewMessage("Noted", {"n": 0}))
    await consumer.run(until="caught_up")
    assert await client.stream_version(f"{category}-2") == NO_STREAM

"""When the position of a consumer is stored, and what a save may not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    HandlerError,
    Message,
    NewMessage,
    PositionConflictError,
    ServerError,
)
from messagedb.consumers import NO_RETRY
from tests._async.consuming import record_numbers, saved, stream_of, write
from tests.support.background_async import Background, eventually

NewDatabase = Callable[..., str]


def recorded(data: Any) -> NewMessage:
    return NewMessage("Recorded", data)


async def test_stored_after_so_many_messages(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(
        client, category, position_update_interval=2, position_update_seconds=60
    )
    positions = await write(client, f"{category}-1", 0, 6)
    stored: list[int | None] = []

    @consumer.handler
    async def wait_for_it(message: Message[Any]) -> None:
        n: int = message.data["n"]
        if n in (2, 4):
            await eventually(lambda: consumer.status().stored_next_position == positions[n - 1] + 1)
        stored.append(consumer.status().stored_next_position)

    await consumer.run(until="caught_up")
    assert stored[2] == stored[3] == positions[1] + 1
    assert stored[4] == stored[5] == positions[3] + 1
    assert await saved(client, consumer) == [positions[1], positions[3], positions[5]]


async def test_stored_after_some_time(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(client, category, position_update_seconds=0.02)
    record_numbers(consumer)
    positions = await write(client, f"{category}-1", 0, 2)
    async with consumer.running():
        await eventually(lambda: consumer.status().stored_next_position == positions[1] + 1)
        assert consumer.status().state in ("running", "caught up")


@pytest.mark.parametrize("count", [1, 7])
async def test_stored_at_the_end_the_last_of_a_batch_and_once(
    client: AsyncClient, category: str, count: int
) -> None:
    """Unlike thalo-rs, which stores the first message of a batch, and Eventide: nothing."""
    consumer = AsyncConsumer(client, category, position_update_seconds=60, batch_size=5)
    record_numbers(consumer)
    positions = await write(client, f"{category}-1", 0, count)
    for _ in range(3):
        await consumer.run(until="caught_up")
        assert await saved(client, consumer) == positions[-1:]


async def test_a_save_that_fails_ends_the_run_with_its_error(
    new_database: NewDatabase, category: str
) -> None:
    """Unlike thalo-rs, which only logs it."""
    url = new_database()
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no more positions'; END $$"
        )
        owner.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON message_store.messages FOR EACH ROW"
            " WHEN (NEW.type = 'Recorded') EXECUTE FUNCTION refuse()"
        )
    async with AsyncClient(url) as client:
        await write(client, f"{category}-1", 0, 3)
        consumer = AsyncConsumer(client, category, position_update_seconds=60)
        seen = record_numbers(consumer)
        with pytest.raises(ServerError, match="no more positions"):
            await consumer.run(until="caught_up")
        assert seen == [0, 1, 2]
        by_time = AsyncConsumer(client, category, position_update_seconds=0.01)
        seen = record_numbers(by_time)
        with pytest.raises(ServerError, match="no more positions"):
            await by_time.run()
        assert by_time.status().state == "failed"
        assert await stream_of(client, consumer.name) == []


@pytest.mark.parametrize("transactional", [False, True])
async def test_a_save_of_somebody_else_stops_it_and_stays(
    client: AsyncClient, category: str, transactional: bool
) -> None:
    consumer = AsyncConsumer(
        client,
        category,
        identifier="a",
        transactional=transactional,
        poll_interval=0.01,
        position_update_seconds=0.02,
    )
    record_numbers(consumer)
    positions = await write(client, f"{category}-1", 0, 2)
    run = Background(consumer.run)
    await eventually(lambda: consumer.status().stored_next_position == positions[-1] + 1)
    await client.write_message(consumer.name, recorded({"position": positions[0]}))
    await write(client, f"{category}-1", 2, 1)
    error = (await run.outcome()).error
    assert isinstance(error, PositionConflictError)
    assert f"last saved {positions[1]}, but {positions[0]} is stored now" in str(error)
    assert (await saved(client, consumer))[-1] == positions[0]
    assert consumer.status().state == "failed"
    # Run again, it goes on from what the other one has stored.
    again = AsyncConsumer(client, category, identifier="a")
    seen = record_numbers(again)
    await again.run(until="caught_up")
    assert seen == [1, 2]


async def test_positions_never_go_back_where_two_run_at_once(
    client: AsyncClient, category: str
) -> None:
    consumers = [
        AsyncConsumer(client, category, identifier="a", transactional=True, lease_timeout=None)
        for _ in range(2)
    ]
    seen = [record_numbers(consumer) for consumer in consumers]
    positions = await write(client, f"{category}-1", 0, 20)
    runs = [Background(consumer.run, until="caught_up") for consumer in consumers]
    errors = [(await run.outcome()).error for run in runs]
    stored = await saved(client, consumers[0])
    assert stored == positions[: len(stored)]
    assert any(isinstance(error, PositionConflictError) for error in errors if error)
    for error, mine in zip(errors, seen, strict=True):
        assert error is None or isinstance(error, PositionConflictError)
        assert mine == sorted(set(mine))


async def test_a_failed_message_is_never_passed_by_a_later_save(
    client: AsyncClient, category: str
) -> None:
    """Unlike Eventide, whose next record skips a message whose error was swallowed."""
    consumer = AsyncConsumer(
        client,
        category,
        retry=NO_RETRY,
        concurrency=4,
        position_update_interval=1,
        position_update_seconds=0.005,
    )
    done: set[int] = set()

    @consumer.handler
    async def fail_at_last(message: Message[Any]) -> None:
        n: int = message.data["n"]
        if n == 1:
            await eventually(lambda: len(done) == 5)
            raise RuntimeError("broken")
        done.add(n)

    positions: list[int] = []
    for n in range(6):
        positions += await write(client, f"{category}-{n}", n, 1)
    with pytest.raises(HandlerError):
        await consumer.run(until="caught_up")
    assert done == {0, 2, 3, 4, 5}
    assert await saved(client, consumer) == positions[:1]

"""A consumer's reaction to a message that it cannot handle."""

from __future__ import annotations

import pickle
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    HandlerError,
    Message,
    MessageDBError,
    MessageDecodeError,
    NewMessage,
    RetryPolicy,
    StoreUnavailableError,
)
from messagedb.consumers import NO_RETRY
from tests._async.consuming import Trouble, saved, write
from tests.support.background_async import eventually

QUICK = RetryPolicy(max_attempts=3, delay=0.001)


class Deposited(msgspec.Struct, frozen=True):
    amount: int


@pytest.fixture
async def client(store_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client of the test's own: handlers add classes to its registry."""
    async with AsyncClient(store_url, max_size=4) as client:
        yield client


async def test_a_handler_is_called_again_until_it_can(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(client, category, retry=QUICK)
    trouble = Trouble(RuntimeError("twice"), 2)
    consumer.handler(trouble.handle)
    positions = await write(client, f"{category}-1", 0, 3)
    await consumer.run(until="caught_up")
    assert trouble.calls == [(0, 1), (1, 1), (1, 2), (1, 3), (2, 1)]
    assert await saved(client, consumer) == positions[-1:]
    status = consumer.status()
    assert (status.handled_count, status.parked_count, status.skipped_count) == (3, 0, 0)
    assert status.last_error == "RuntimeError: twice"


async def test_the_waits_between_attempts_grow(client: AsyncClient, category: str) -> None:
    policy = RetryPolicy(max_attempts=3, delay=0.03, multiplier=2, jitter=False)
    consumer = AsyncConsumer(client, category, retry=policy)
    times: list[float] = []

    @consumer.handler
    async def fail(message: Message[Any]) -> None:
        times.append(time.monotonic())
        raise RuntimeError("broken")

    await write(client, f"{category}-1", 0, 1)
    with pytest.raises(HandlerError):
        await consumer.run(until="caught_up")
    first, second, third = times
    assert second - first >= 0.03
    assert third - second >= 0.06


@pytest.mark.parametrize(
    "options", [{}, {"transactional": True}, {"concurrency": 3}], ids=["plain", "tx", "workers"]
)
async def test_by_default_it_stops_before_the_message(
    client: AsyncClient, category: str, options: dict[str, Any]
) -> None:
    """Unlike eventsource-py, which by default stores a position past an event that failed."""
    consumer = AsyncConsumer(
        client,
        category,
        retry=QUICK,
        position_update_interval=1,
        position_update_seconds=0.001,
        **options,
    )
    problem = RuntimeError("broken for good")
    trouble = Trouble(problem)
    consumer.handler(trouble.handle)
    positions = await write(client, f"{category}-1", 0, 3)
    with pytest.raises(HandlerError) as caught:
        await consumer.run(until="caught_up")
    assert caught.value.__cause__ is problem
    assert caught.value.attempts == 3
    assert trouble.seen == [0, 1, 1, 1]
    assert consumer.status().state == "failed"
    assert await saved(client, consumer) == positions[:1]
    trouble.problem = None
    await consumer.run(until="caught_up")
    assert trouble.seen[4:] == [1, 2]
    assert (await saved(client, consumer))[-1] == positions[-1]


async def test_the_error_tells_which_message_and_why_and_pickles(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, identifier="broken", retry=NO_RETRY)
    consumer.handler(Trouble(RuntimeError("first line\nsecond line")).handle)
    positions = await write(client, f"{category}-1", 0, 2)
    with pytest.raises(HandlerError) as caught:
        await consumer.run(until="caught_up")
    error = caught.value
    again: HandlerError = pickle.loads(pickle.dumps(error))
    for each in (error, again):
        assert each.consumer == f"{category}:position-broken"
        assert (each.stream_name, each.position) == (f"{category}-1", 1)
        assert (each.global_position, each.type) == (positions[1], "Noted")
        assert (each.attempts, each.reason) == (1, "RuntimeError: first line")
        for part in (f"message 1 of stream '{category}-1'", "called once", "on_error"):
            assert part in str(each)
    assert str(again) == str(error)
    assert isinstance(error, MessageDBError)


async def test_data_that_does_not_fit_is_not_tried_again_and_hides_no_neighbour(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, on_error="park", retry=RetryPolicy(delay=60))
    amounts: list[int] = []

    @consumer.handler
    async def deposited(event: Deposited) -> None:
        amounts.append(event.amount)

    wrong = NewMessage("Deposited", {"amount": "five"})
    await client.write_messages(f"{category}-1", [Deposited(1), wrong, Deposited(2)])
    await consumer.run(until="caught_up")
    assert amounts == [1, 2]
    (parked,) = await consumer.list_parked()
    assert (parked.position, parked.attempts) == (1, 1)
    assert parked.reason.startswith("MessageDecodeError: ")

    stopping = AsyncConsumer(client, category, identifier="s", retry=RetryPolicy(delay=60))
    stopping.handler(deposited)
    with pytest.raises(HandlerError) as caught:
        await stopping.run(until="caught_up")
    assert isinstance(caught.value.__cause__, MessageDecodeError)


@pytest.mark.parametrize("transactional", [False, True])
async def test_an_error_of_a_handler_s_own_is_an_attempt_whatever_its_class(
    client: AsyncClient, category: str, transactional: bool
) -> None:
    consumer = AsyncConsumer(client, category, retry=QUICK, transactional=transactional)
    trouble = Trouble(StoreUnavailableError("says the handler"))
    consumer.handler(trouble.handle)
    await write(client, f"{category}-1", 0, 3)
    with pytest.raises(HandlerError, match="called 3 times, last result: StoreUnavailableError"):
        await consumer.run(until="caught_up")
    # The store may have been unavailable just before, once.
    assert trouble.calls == [(0, 1), (1, 1), (1, 1), (1, 2), (1, 3)]


async def test_a_retrying_consumer_tells_so_and_stops_at_once(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, retry=RetryPolicy(delay=60, max_delay=60))
    trouble = Trouble(RuntimeError("broken"))
    consumer.handler(trouble.handle)
    positions = await write(client, f"{category}-1", 0, 2)
    async with consumer.running():
        await consumer.wait_until_processed(f"{category}-1", 0, timeout=5)
        await eventually(lambda: consumer.status().state == "retrying")
        assert consumer.status().last_error == "RuntimeError: broken"
        begin = time.monotonic()
        await consumer.stop(timeout=5)
        assert time.monotonic() - begin < 2
    assert trouble.seen == [0, 1]
    assert await saved(client, consumer) == positions[:1]

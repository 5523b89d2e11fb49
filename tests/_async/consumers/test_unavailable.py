"""A handler that always meets something unavailable: its attempts count where the store answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    HandlerError,
    Message,
    NewMessage,
    RetryPolicy,
    StoreUnavailableError,
)
from messagedb.consumers import NO_RETRY
from messagedb.errors import PoolTimeoutError
from tests._async.consuming import saved, write

QUICK = RetryPolicy(max_attempts=3, delay=0.001)
COMMAND_TIMEOUT = 0.3
NOWHERE = "postgresql://message_store@127.0.0.1:1/nowhere"


@pytest.fixture
async def client(store_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client that does not wait for long."""
    async with AsyncClient(store_url, max_size=4, command_timeout=COMMAND_TIMEOUT) as client:
        yield client


class Failing:
    """A handler that fails with the message of number 1, each time it is called with it."""

    def __init__(self, client: AsyncClient, category: str, what: str) -> None:
        self.client = client
        self.category = category
        self.what = what
        self.calls: list[tuple[int, int]] = []

    async def handle(self, message: Message[Any], context: AsyncContext) -> None:
        self.calls.append((message.data["n"], context.attempt))
        if message.data["n"] == 1:
            await getattr(self, self.what)(context)

    async def read(self, context: AsyncContext) -> None:
        """Read for longer than the client may."""
        await self.client.get_category_messages(
            self.category, condition="(select true from pg_sleep(10))"
        )

    async def away(self, context: AsyncContext) -> None:
        """Write to another store, which is not there."""
        async with AsyncClient(NOWHERE) as other:
            await other.write_message("other-1", NewMessage("Tested"))

    async def lock(self, context: AsyncContext) -> None:
        """Wait for a lock that a transaction of the handler's own holds."""
        async with self.client.transaction() as transaction:
            await transaction.write_message(f"{self.category}Own-1", NewMessage("Tested"))
            await self.client.write_message(f"{self.category}Own-2", NewMessage("Tested"))

    async def own_lock(self, context: AsyncContext) -> None:
        """Wait for a lock that the transaction of the message holds."""
        await context.client.write_message(f"{self.category}Own-1", NewMessage("Tested"))
        await self.client.write_message(f"{self.category}Own-2", NewMessage("Tested"))

    async def slow(self, context: AsyncContext) -> None:
        """Take longer than the transaction may."""
        await context.transaction.connection.execute("set local statement_timeout = 0")
        await context.transaction.connection.execute("select pg_sleep(10)")

    async def nothing(self, context: AsyncContext) -> None:
        """Have no trouble."""

    async def end(self, context: AsyncContext) -> None:
        """Have the session of the transaction ended."""
        conn = context.transaction.connection
        await conn.execute("select pg_terminate_backend(pg_backend_pid())")
        await conn.execute("select 1")


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize(
    ("what", "calls"),
    [("read", [1, 2, 3]), ("lock", [1, 2, 3]), ("away", [1, 1, 2, 3])],
)
async def test_an_outage_of_the_handlers_own_service_counts_as_an_attempt(
    client: AsyncClient, category: str, what: str, calls: list[int], concurrency: int
) -> None:
    consumer = AsyncConsumer(client, category, retry=QUICK, concurrency=concurrency)
    failing = Failing(client, category, what)
    consumer.handler(failing.handle)
    positions = await write(client, f"{category}-1", 0, 3)
    with pytest.raises(HandlerError, match="called 3 times") as caught:
        await consumer.run(until="caught_up")
    assert isinstance(caught.value.__cause__, StoreUnavailableError)
    # Another store may have been this one, away just before: one attempt of that kind is free.
    assert failing.calls == [(0, 1), *((1, attempt) for attempt in calls)]
    assert await saved(client, consumer) == positions[:1]


@pytest.mark.parametrize(
    ("what", "calls"),
    [("own_lock", [1, 2, 3]), ("slow", [1, 2, 3]), ("end", [1, 1, 2, 3])],
)
async def test_on_error_applies_to_a_transactional_handler_that_always_finds_its_store_away(
    client: AsyncClient, category: str, what: str, calls: list[int]
) -> None:
    consumer = AsyncConsumer(
        client,
        category,
        identifier="parks",
        retry=QUICK,
        on_error="park",
        transactional=True,
        transaction_timeout=1.0,
    )
    failing = Failing(client, category, what)
    consumer.handler(failing.handle)
    await write(client, f"{category}-1", 0, 3)
    await consumer.run(until="caught_up")
    assert failing.calls == [(0, 1), *((1, attempt) for attempt in calls), (2, 1)]
    assert [parked.position for parked in await consumer.list_parked()] == [1]
    assert await client.stream_version(f"{category}Own-1") == -1


async def test_a_handler_that_needs_more_connections_than_the_pool_has_is_told_so(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, max_size=1, timeout=0.2) as client:
        consumer = AsyncConsumer(client, category, retry=QUICK)

        @consumer.handler
        async def greedy(message: Message[Any]) -> None:
            async with client.transaction():
                await client.message_store_version()

        await write(client, f"{category}-1", 0, 1)
        with pytest.raises(HandlerError, match="max_size") as caught:
            await consumer.run(until="caught_up")
        assert isinstance(caught.value.__cause__, PoolTimeoutError)


async def test_a_session_that_is_ended_once_is_no_attempt(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, retry=NO_RETRY, transactional=True)
    failing = Failing(client, category, "end")

    @consumer.handler
    async def handle(message: Message[Any], context: AsyncContext) -> None:
        if (1, 1) in failing.calls:
            failing.what = "nothing"
        await failing.handle(message, context)

    await write(client, f"{category}-1", 0, 3)
    await consumer.run(until="caught_up")
    assert failing.calls == [(0, 1), (1, 1), (1, 1), (2, 1)]
    assert consumer.status().handled_count == 3

"""A handler in which something is cancelled that is not the consumer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from messagedb import AsyncClient, AsyncConsumer, HandlerError, Message, NewMessage, RetryPolicy


@pytest.mark.parametrize(("concurrency", "transactional"), [(1, False), (1, True), (2, False)])
async def test_it_is_an_attempt_that_failed(
    store_url: str, category: str, concurrency: int, transactional: bool
) -> None:
    async with AsyncClient(store_url, max_size=4) as client:
        consumer = AsyncConsumer(
            client,
            category,
            retry=RetryPolicy(max_attempts=2, delay=0.01),
            concurrency=concurrency,
            transactional=transactional,
        )
        attempts: list[int] = []

        @consumer.handler
        async def handle(message: Message[Any]) -> None:
            attempts.append(message.position)
            other = asyncio.create_task(asyncio.sleep(10))
            other.cancel()
            await other

        await client.write_message(f"{category}-1", NewMessage("Tested"))
        with pytest.raises(HandlerError, match="was cancelled") as caught:
            await consumer.run()
        assert attempts == [0, 0]
        cause = caught.value.__cause__
        assert cause is not None
        assert isinstance(cause.__cause__, asyncio.CancelledError)


async def test_who_cancels_the_run_is_obeyed(store_url: str, category: str) -> None:
    async with AsyncClient(store_url, max_size=4) as client:
        consumer = AsyncConsumer(client, category)
        begun = asyncio.Event()

        @consumer.handler
        async def handle(message: Message[Any]) -> None:
            if message.position == 1:
                begun.set()
                await asyncio.sleep(10)

        await client.write_messages(f"{category}-1", [NewMessage("Tested")] * 1)
        await client.write_message(f"{category}-1", NewMessage("Tested"))
        run = asyncio.create_task(consumer.run())
        await begun.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        status = consumer.status()
        assert (status.state, status.next_position) == ("stopped", status.stored_next_position)
        last = await client.get_last_stream_message(f"{category}-1")
        assert last is not None
        assert status.next_position == last.global_position

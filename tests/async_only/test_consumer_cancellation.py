"""A handler in which something is cancelled that is not the consumer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    AsyncTransaction,
    HandlerError,
    Message,
    NewMessage,
    RetryPolicy,
)
from messagedb.consumers import AsyncBatchContext
from messagedb.streams import group_member


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


@pytest.mark.parametrize("how", ["stop", "cancel"])
@pytest.mark.parametrize("is_batch", [False, True])
async def test_a_transaction_of_several_that_is_interrupted_leaves_nothing_of_it(
    store_url: str, category: str, how: str, is_batch: bool
) -> None:
    async with AsyncClient(store_url, max_size=4) as client:
        numbers = list(range(6))
        await client.write_messages(
            f"{category}-1", [NewMessage("Tested", {"n": n}) for n in numbers]
        )
        consumer = AsyncConsumer(client, category, transactional=True, transaction_size=4)
        begun, goes_on = asyncio.Event(), asyncio.Event()

        async def copy(message: Message[Any], transaction: AsyncTransaction) -> None:
            copied = NewMessage("Copied", message.data)
            await transaction.write_message(f"{category}Copy-1", copied)
            if message.position == 2:
                begun.set()
                await goes_on.wait()

        async def handle(message: Message[Any], context: AsyncContext) -> None:
            await copy(message, context.transaction)

        async def handle_all(messages: list[Message[Any]], context: AsyncBatchContext) -> None:
            for message in messages:
                await copy(message, context.transaction)

        if is_batch:
            consumer.batch_handler(handle_all)
        else:
            consumer.handler(handle)
        run = asyncio.create_task(consumer.run())
        await begun.wait()
        if how == "stop":
            with pytest.raises(TimeoutError, match="before it in its transaction"):
                await consumer.stop(timeout=0.05)
            with pytest.raises(TimeoutError, match="before it in its transaction"):
                await run
        else:
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
        assert await client.get_stream_messages(f"{category}Copy-1") == []
        assert consumer.status().stored_next_position is None
        goes_on.set()
        await consumer.run(until="caught_up")
        copies = await client.get_stream_messages(f"{category}Copy-1")
        assert [message.data["n"] for message in copies] == numbers


@pytest.mark.parametrize("options", [{"concurrency": 4}, {"partitions": 4, "identifier": "p"}])
async def test_a_stop_cancels_all_handlers_that_run_side_by_side(
    store_url: str, category: str, options: dict[str, Any]
) -> None:
    async with AsyncClient(store_url, max_size=8) as client:
        names = [f"{category}-{n}" for n in range(100)]
        # One stream of each partition.
        streams = sorted({group_member(name, 4): name for name in names}.values())
        for stream in streams:
            await client.write_message(stream, NewMessage("Tested"))
        consumer = AsyncConsumer(client, category, **options)
        begun, cleaning = asyncio.Semaphore(0), asyncio.Barrier(4)
        cleaned: list[str] = []

        @consumer.handler
        async def handle(message: Message[Any]) -> None:
            begun.release()
            try:
                await asyncio.Event().wait()
            finally:
                # Cancelled one after the other, none of them would come through here.
                async with asyncio.timeout(2):
                    await cleaning.wait()
                cleaned.append(message.stream_name)

        run = asyncio.create_task(consumer.run())
        for _ in range(4):
            await begun.acquire()
        with pytest.raises(TimeoutError, match="did not finish"):
            await consumer.stop(timeout=0.05)
        with pytest.raises(TimeoutError, match="did not finish"):
            await run
        assert sorted(cleaned) == streams

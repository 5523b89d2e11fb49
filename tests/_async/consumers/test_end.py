"""A consumer that begins at the end misses nothing that is committed after it began."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from messagedb import AsyncAllConsumer, AsyncClient, AsyncConsumer, Message, NewMessage
from messagedb.consumers import OpenWriteTransaction
from tests._async.consuming import record_numbers, write
from tests.support.background_async import Background, eventually


class RecordingConsumer:
    """A consumer of two categories, or of the whole store, and what it was given of the two."""

    def __init__(
        self, client: AsyncClient, category: str, everything: bool, **options: Any
    ) -> None:
        self.names = [f"{category}A", f"{category}B"]
        self.seen: list[str] = []
        self.consumer = AsyncAllConsumer(
            client, None if everything else self.names, identifier=category, **options
        )
        self.consumer.handler(self.handle)

    async def handle(self, message: Message[Any]) -> None:
        if message.stream_name.partition("-")[0] in self.names:
            self.seen.append(message.data["name"])


class CountingClient(AsyncClient):
    """A client that counts how often it was asked who is writing."""

    looks = 0

    async def list_open_write_transactions(self) -> list[OpenWriteTransaction]:
        """Return the open writers, and count the calls."""
        self.looks += 1
        return await super().list_open_write_transactions()


def named(name: str) -> NewMessage:
    """Make a message with a name."""
    return NewMessage("Noted", {"name": name})


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("is_new", [False, True])
async def test_messages_of_an_open_transaction_are_delivered_from_the_end(
    client: AsyncClient, category: str, everything: bool, is_new: bool
) -> None:
    recorder = RecordingConsumer(client, category, everything, start="end")
    consumer = recorder.consumer
    if not is_new:
        await client.write_message(f"{category}A-1", named("old a"))
    await client.write_message(f"{category}B-1", named("old b"))
    async with AsyncExitStack() as stack:
        transaction = await stack.enter_async_context(client.transaction())
        await transaction.write_message(f"{category}A-1", named("open"))
        await client.write_message(f"{category}B-1", named("committed before"))
        await stack.enter_async_context(consumer.running())
        await eventually(lambda: consumer.status().blocked_by)
        await client.write_message(f"{category}B-1", named("committed after"))
        await transaction.write_message(f"{category}A-1", named("open, second"))
        await transaction.commit()
        await consumer.wait_until_processed(f"{category}B-1", 2, timeout=10)
        await consumer.wait_until_caught_up(timeout=10)
    assert recorder.seen == ["open", "committed after", "open, second"]


@pytest.mark.parametrize("everything", [False, True])
async def test_a_rolled_back_transaction_blocks_no_longer(
    client: AsyncClient, category: str, everything: bool
) -> None:
    recorder = RecordingConsumer(client, category, everything, start="end")
    consumer = recorder.consumer
    async with AsyncExitStack() as stack:
        transaction = await stack.enter_async_context(client.transaction())
        await transaction.write_message(f"{category}A-1", named("open"))
        await client.write_message(f"{category}B-1", named("committed before"))
        await stack.enter_async_context(consumer.running())
        await eventually(lambda: consumer.status().blocked_by)
        await transaction.rollback()
        await consumer.wait_until_caught_up(timeout=10)
        await client.write_message(f"{category}B-1", named("committed after"))
        await consumer.wait_until_caught_up(timeout=10)
    assert recorder.seen == ["committed after"]


@pytest.mark.parametrize("everything", [False, True])
async def test_a_consumer_that_waits_for_the_end_can_be_stopped(
    client: AsyncClient, category: str, everything: bool
) -> None:
    recorder = RecordingConsumer(client, category, everything, start="end")
    async with client.transaction() as transaction:
        await transaction.write_message(f"{category}A-1", named("open"))
        async with recorder.consumer.running():
            await eventually(lambda: recorder.consumer.status().blocked_by)
        assert recorder.consumer.status().state == "stopped"
    assert recorder.seen == []


@pytest.mark.parametrize("everything", [False, True])
async def test_a_position_that_is_reset_to_the_end_is_before_what_was_open(
    store_url: str, category: str, everything: bool
) -> None:
    async with CountingClient(store_url) as client:
        recorder = RecordingConsumer(client, category, everything)
        await client.write_message(f"{category}A-1", named("old"))
        async with client.transaction() as transaction:
            await transaction.write_message(f"{category}A-1", named("open"))
            await client.write_message(f"{category}B-1", named("meanwhile"))
            reset = Background(recorder.consumer.reset_position, "end")
            await eventually(lambda: client.looks > 1)
        await reset.result()
        await recorder.consumer.run(until="caught_up")
        assert recorder.seen == ["open", "meanwhile"]


async def test_an_end_that_does_not_come_is_an_error_that_names_who_is_waited_for(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, command_timeout=0.3) as client:
        recorder = RecordingConsumer(client, category, everything=False)
        assert await recorder.consumer.reset_position(5) == 5
        async with client.transaction() as transaction:
            await transaction.write_message(f"{category}A-1", named("open"))
            with pytest.raises(TimeoutError, match=r"are still open.*pid=\d+.*Nothing was changed"):
                await recorder.consumer.reset_position("end")


async def test_a_category_has_no_such_messages_as_its_writers_take_turns(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, identifier="end", start="end")
    seen = record_numbers(consumer)
    await write(client, f"{category}-1", 0, 1)
    async with AsyncExitStack() as stack:
        transaction = await stack.enter_async_context(client.transaction())
        await transaction.write_message(f"{category}-1", NewMessage("Noted", {"n": 1}))
        await write(client, f"{category}Other-1", 0, 1)
        await stack.enter_async_context(consumer.running())
        await consumer.wait_until_caught_up(timeout=10)
        await transaction.commit()
        await consumer.wait_until_caught_up(timeout=10)
    assert seen == [1]

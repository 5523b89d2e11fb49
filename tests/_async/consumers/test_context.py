"""The context of a handler, and the middleware around each of its calls."""

from __future__ import annotations

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
    Skip,
    ValidationError,
)
from messagedb.consumers import NO_RETRY
from tests._async.consuming import numbered, record_numbers, saved, stream_of, write


async def test_the_context_names_message_attempt_and_store(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, identifier="noted")
    contexts: list[AsyncContext] = []

    @consumer.handler
    async def note(message: Message[Any], context: AsyncContext) -> None:
        assert context.message is message
        contexts.append(context)

    await write(client, f"{category}-1", 0, 2)
    await consumer.run(until="caught_up")
    first, second = contexts
    assert (first.attempt, first.client) == (1, client)
    assert first.derive_id("a").version == 5
    ids = {context.derive_id(name) for context in contexts for name in ("a", "b")}
    assert len(ids) == 4
    assert first.derive_id("a") != second.derive_id("a")
    with pytest.raises(ValidationError, match="transactional=True"):
        _ = first.transaction


async def test_messages_with_derived_ids_are_written_once(
    client: AsyncClient, category: str
) -> None:
    outbox = f"{category}Outbox-1"
    for options in ({}, {"group_member": 0, "group_size": 1}, {"transactional": True}):
        chosen: Any = options
        consumer = AsyncConsumer(client, category, identifier="mails", start="beginning", **chosen)

        @consumer.handler
        async def mail(message: Message[Any], context: AsyncContext) -> None:
            for name in ("to", "cc"):
                await context.client.write_message(
                    outbox,
                    NewMessage("Mailed", {"n": message.data["n"]}),
                    id=context.derive_id(name),
                )

        await write(client, f"{category}-1", 0, 1)
        await consumer.run(until="caught_up")
        await consumer.run(until="caught_up")
    mails = await client.get_stream_messages(outbox)
    assert len(mails) == 6  # two for each of three messages, whose consumers ran twice

    other = AsyncConsumer(client, category, identifier="other")
    ids = [message.id for message in mails]

    @other.handler
    async def note(message: Message[Any], context: AsyncContext) -> None:
        assert context.derive_id("to") not in ids

    await other.run(until="caught_up")


async def test_effects_and_position_are_one_transaction(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(client, category, transactional=True, retry=NO_RETRY)
    outbox = f"{category}Outbox-1"
    broken = True

    @consumer.handler
    async def copy(message: Message[Any], context: AsyncContext) -> None:
        assert isinstance(context.client, AsyncTransaction)
        assert context.transaction is context.client
        await context.transaction.write_message(outbox, NewMessage("Copied", message.data))
        cursor = await context.transaction.connection.execute("SELECT 1")
        assert await cursor.fetchone() is not None
        if broken and message.data["n"] == 1:
            raise RuntimeError("broken")

    positions = await write(client, f"{category}-1", 0, 3)
    with pytest.raises(HandlerError, match="broken"):
        await consumer.run(until="caught_up")
    assert await client.stream_version(outbox) == 0
    assert await saved(client, consumer) == positions[:1]
    broken = False
    await consumer.run(until="caught_up")
    copies = await client.get_stream_messages(outbox)
    assert [message.data["n"] for message in copies] == [0, 1, 2]
    assert await saved(client, consumer) == positions
    # The last thing of each transaction.
    records = await stream_of(client, consumer.name)
    for copy_of_it, record in zip(copies, records, strict=True):
        assert record.global_position == copy_of_it.global_position + 1


async def test_middleware_goes_around_each_attempt_the_first_outermost(
    client: AsyncClient, category: str
) -> None:
    calls: list[tuple[str, int]] = []

    async def outer(context: AsyncContext, call_next: Any) -> Any:
        calls.append(("outer", context.attempt))
        try:
            return await call_next(context)
        finally:
            calls.append(("outer ends", context.attempt))

    async def inner(context: AsyncContext, call_next: Any) -> Any:
        calls.append(("inner", context.message.data["n"]))
        return await call_next(context)

    consumer = AsyncConsumer(client, category, middleware=[outer, inner])

    @consumer.handler
    async def note(message: Message[Any], context: AsyncContext) -> None:
        calls.append(("handler", context.attempt))
        if context.attempt == 1:
            raise RuntimeError("once")

    await client.write_messages(f"{category}-1", numbered(7, 1))
    await consumer.run(until="caught_up")
    assert calls == [
        call
        for attempt in (1, 2)
        for call in (
            ("outer", attempt),
            ("inner", 7),
            ("handler", attempt),
            ("outer ends", attempt),
        )
    ]


async def test_middleware_may_answer_for_the_handler(client: AsyncClient, category: str) -> None:
    async def guard(context: AsyncContext, call_next: Any) -> Any:
        n = context.message.data["n"]
        if n == 0:
            return Skip("not wanted")
        if n == 1:
            return None
        return await call_next(context)

    consumer = AsyncConsumer(client, category, middleware=[guard])
    seen = record_numbers(consumer)
    await write(client, f"{category}-1", 0, 3)
    await consumer.run(until="caught_up")
    status = consumer.status()
    assert (seen, status.handled_count, status.skipped_count) == ([2], 2, 1)

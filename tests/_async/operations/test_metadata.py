"""Metadata in the store: written, read, followed by what a handler writes, and found again."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg

from messagedb import AsyncClient, AsyncConsumer, AsyncContext, Message, NewMessage
from messagedb._messages.metadata import Metadata
from messagedb.streams import Category

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Withdraw(msgspec.Struct):
    account_id: str


class Withdrawn(msgspec.Struct):
    account_id: str


def own_metadata() -> Metadata:
    return Metadata(
        correlation_stream_name="transfer-1",
        reply_stream_name="transfer:command-1",
        schema_version="2.1",
        properties={"userId": "ann"},
        local_properties={"attempt": 1},
        extra={"theirs": [1, None]},
    )


async def test_every_way_of_writing_takes_metadata(client: AsyncClient, category: str) -> None:
    stream, own = f"{category}-1", own_metadata()
    await client.write_message(stream, NewMessage("A", {"a": 1}, metadata=own))
    await client.write_message(stream, NewMessage("A"), metadata=own)
    await client.write_messages(stream, [NewMessage("A", None, metadata=own)])
    read = [message async for message in client.read_stream(stream)]
    assert [Metadata.from_message(message) for message in read] == [own] * 3
    assert all(message.metadata == own.to_dict() for message in read)
    assert [Metadata.from_message(message).identifier for message in read] == [
        f"{stream}/{position}" for position in range(3)
    ]


async def test_metadata_with_nothing_in_it_is_sql_null(
    client: AsyncClient, store_url: str, category: str
) -> None:
    await client.write_message(f"{category}-1", NewMessage("A", None, metadata=Metadata()))
    with psycopg.connect(store_url) as conn:
        row = conn.execute(
            "SELECT metadata IS NULL FROM message_store.messages WHERE stream_name = %s",
            [f"{category}-1"],
        ).fetchone()
    assert row == (True,)


async def test_a_workflow_through_handlers(store_url: str, category: str) -> None:
    """A command is handled, its event follows it, and a reply goes where the command asked."""
    account, transfer = Category(category), Category(f"{category}Transfer")
    async with AsyncClient(store_url, max_size=4) as client:
        consumer = AsyncConsumer(client, account.command_category)

        @consumer.handler
        async def withdraw(command: Withdraw, context: AsyncContext) -> None:
            id = account.parse_id(context.message.stream_name)
            await context.client.write_message(
                account.stream_name(id),
                Withdrawn(command.account_id),
                metadata=context.following(),
            )
            stream_name, metadata = context.following().take_reply()
            await context.client.write_message(
                stream_name, NewMessage("Noted", None, metadata=metadata.with_properties(own="x"))
            )

        client.registry.add(Withdrawn)
        asked = Metadata(
            correlation_stream_name=transfer.stream_name("7"),
            reply_stream_name=transfer.command_stream_name("7"),
            local_properties={"attempt": 1},
        ).with_trace(PARENT)
        await client.write_message(
            account.command_stream_name("123"), Withdraw("123"), metadata=asked
        )
        await consumer.run(until="caught_up")

        command = await client.get_last_stream_message(account.command_stream_name("123"))
        event = await client.get_last_stream_message(account.stream_name("123"))
        reply = await client.get_last_stream_message(transfer.command_stream_name("7"))
        assert command is not None
        assert event is not None
        assert reply is not None
        followed = Metadata.from_message(event)
        assert followed.is_following(command)
        assert followed.causation_message_identifier == Metadata.from_message(command).identifier
        assert followed.is_correlated_with(transfer.name)
        assert followed.traceparent == Metadata.from_message(reply).traceparent == PARENT
        assert followed.local_properties == {}
        assert Metadata.from_message(reply).reply_stream_name is None
        assert Metadata.from_message(reply).properties == {"traceparent": PARENT, "own": "x"}

        by_correlation: list[Message[Any]] = [
            message async for message in client.read_category(category, correlation=transfer.name)
        ]
        assert [message.id for message in by_correlation] == [event.id]

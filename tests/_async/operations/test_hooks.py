"""Hooks around the operations of a client, its transactions, bound clients and consumers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg import AsyncConnection

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    Message,
    NewMessage,
    ValidationError,
    WrongExpectedVersionError,
)
from messagedb.hooks import Hooks, Operation
from messagedb.testing import make_message


class Reversing(Hooks):
    """Stores strings backwards, as a hook that encrypts would store something else."""

    def before_write(
        self, stream_name: str, messages: Sequence[NewMessage]
    ) -> Sequence[NewMessage]:
        return [
            msgspec.structs.replace(message, data={"x": message.data["text"][::-1]})
            for message in messages
        ]

    def after_read(self, messages: Sequence[Message[Any]]) -> Sequence[Message[Any]]:
        return [
            make_message(
                message.stream_name,
                message.type,
                {"text": message.data["x"][::-1]} if message.data else None,
                message.metadata,
                id=message.id,
                position=message.position,
                global_position=message.global_position,
                time=message.time,
            )
            for message in messages
        ]


class RecordingHooks(Hooks):
    """Notes what it is called with."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes

    def before_write(
        self, stream_name: str, messages: Sequence[NewMessage]
    ) -> Sequence[NewMessage]:
        self.notes.append(f"{self.name} before {len(messages)}")
        return messages

    def after_read(self, messages: Sequence[Message[Any]]) -> Sequence[Message[Any]]:
        self.notes.append(f"{self.name} after {len(messages)}")
        return messages

    @contextmanager
    def around(self, operation: Operation) -> Generator[None]:
        self.notes.append(f"{self.name} in {operation.name}")
        try:
            yield
        except Exception as error:
            self.notes.append(f"{self.name} {type(error).__name__}")
            raise
        self.notes.append(f"{self.name} out {len(operation.messages)}")


@pytest.fixture
async def reversing(store_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client that stores strings backwards."""
    async with AsyncClient(store_url, max_size=2, hooks=[Reversing()]) as client:
        yield client


async def test_the_messages_of_the_hooks_are_stored(
    reversing: AsyncClient, client: AsyncClient, store_url: str, category: str
) -> None:
    stream = f"{category}-1"
    first = NewMessage("A", {"text": "one"})
    assert await reversing.write_message(stream, first) == 0
    assert await reversing.write_message(stream, first) == 0  # the same id
    await reversing.write_messages(stream, [NewMessage("A", {"text": "two"})])
    async with reversing.transaction() as tx:
        await tx.write_message(stream, NewMessage("A", {"text": "three"}))
        assert [m.data for m in await tx.get_stream_messages(stream, position=2)] == [
            {"text": "three"}
        ]
    async with await AsyncConnection.connect(store_url) as conn:
        await reversing.bind(conn).write_message(stream, NewMessage("A", {"text": "four"}))
    stored = [m.data async for m in client.read_stream(stream)]
    assert stored == [{"x": "eno"}, {"x": "owt"}, {"x": "eerht"}, {"x": "ruof"}]
    texts = [{"text": text} for text in ("one", "two", "three", "four")]
    assert [m.data async for m in reversing.read_stream(stream)] == texts
    assert [m.data async for m in reversing.read_category(category)] == texts
    last = await reversing.get_last_stream_message(stream)
    assert last is not None
    assert last.data == {"text": "four"}
    assert await reversing.get_last_stream_message(f"{category}-2") is None
    assert [m.data for m in (await reversing.scan_category(category)).messages] == texts


async def test_consumers_read_through_them_and_keep_their_own_notes(
    reversing: AsyncClient, client: AsyncClient, category: str
) -> None:
    await reversing.write_message(f"{category}-1", NewMessage("A", {"text": "one"}))
    consumer = AsyncConsumer(reversing, category, identifier="c", on_error="park")
    seen: list[Any] = []

    @consumer.handler
    async def handle(message: Message[Any]) -> None:
        seen.append(message.data)

    await consumer.run(until="caught_up")
    assert seen == [{"text": "one"}]
    record = await client.get_last_stream_message(f"{category}:position-c")
    assert record is not None
    assert set(record.data) == {"position", "messageId", "history"}
    await consumer.run(until="caught_up")
    assert len(seen) == 1


async def test_the_first_is_the_outermost(store_url: str, category: str) -> None:
    notes: list[str] = []
    hooks = [RecordingHooks("a", notes), RecordingHooks("b", notes)]
    async with AsyncClient(store_url, max_size=1, hooks=hooks) as client:
        await client.write_message(f"{category}-1", NewMessage("A"))
        assert notes == [
            *("a before 1", "b before 1", "a in write_message", "b in write_message"),
            *("b out 1", "a out 1"),
        ]
        notes.clear()
        assert await client.write_messages(f"{category}-1", []) == []
        await client.get_category_messages(f"{category}None")
        assert notes == [
            *("a in get_category_messages", "b in get_category_messages", "b out 0", "a out 0"),
        ]
        notes.clear()
        await client.get_stream_messages(f"{category}-1")
        assert notes[2:] == ["b after 1", "a after 1", "b out 1", "a out 1"]
        notes.clear()
        with pytest.raises(WrongExpectedVersionError):
            await client.write_message(f"{category}-1", NewMessage("A"), expected_version=5)
        assert notes[-2:] == ["b WrongExpectedVersionError", "a WrongExpectedVersionError"]


async def test_a_hook_may_refuse_a_write(store_url: str, category: str) -> None:
    class Refusing(Hooks):
        def before_write(
            self, stream_name: str, messages: Sequence[NewMessage]
        ) -> Sequence[NewMessage]:
            raise PermissionError(stream_name)

    async with AsyncClient(store_url, max_size=1, hooks=[Refusing()]) as client:
        with pytest.raises(PermissionError):
            await client.write_message(f"{category}-1", NewMessage("A"))
        assert await client.stream_version(f"{category}-1") == -1


async def test_other_messages_than_it_got(store_url: str, category: str) -> None:
    class Dropping(Hooks):
        def before_write(
            self, stream_name: str, messages: Sequence[NewMessage]
        ) -> Sequence[NewMessage]:
            return messages[1:]

        def after_read(self, messages: Sequence[Message[Any]]) -> Sequence[Message[Any]]:
            return messages[1:]

    async with AsyncClient(store_url, max_size=1, hooks=[Dropping()]) as client:
        with pytest.raises(ValidationError, match=r"before_write returned other.*Nothing was sent"):
            await client.write_messages(f"{category}-1", [NewMessage("A"), NewMessage("B")])
        with psycopg.connect(store_url, autocommit=True) as conn:
            conn.execute(
                "select message_store.write_message(gen_random_uuid()::text, %s, 'A', '{}')",
                [f"{category}-1"],
            )
        with pytest.raises(ValidationError, match="after_read returned other messages"):
            await client.get_stream_messages(f"{category}-1")


def test_objects_that_are_not_hooks_are_refused() -> None:
    for wrong in ([object()], [Hooks], 5, "x"):
        with pytest.raises(ValidationError, match="each of hooks must be"):
            AsyncClient("", hooks=wrong)  # type: ignore[arg-type] # pyright: ignore

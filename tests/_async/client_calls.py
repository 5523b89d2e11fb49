"""Every operation as a case: what is called, and how many messages it writes."""

from __future__ import annotations

import uuid
from typing import NamedTuple

from messagedb import NO_STREAM, STREAM_EXISTS, NewMessage
from tests.support.outcome import AsyncCall, AsyncStore


class Case(NamedTuple):
    """An operation on a store and a category in which the stream ``<category>-seed`` exists."""

    call: AsyncCall
    writes: int = 0


def new_messages(count: int) -> list[NewMessage]:
    """Make so many messages."""
    return [NewMessage("Tested", {"number": number}) for number in range(count)]


async def seed(store: AsyncStore, category: str) -> None:
    """Make what the cases need: two messages in ``<category>-seed``."""
    await store.write_messages(f"{category}-seed", new_messages(2))


def _new_stream(category: str) -> str:
    return f"{category}-{uuid.uuid4().hex}"


async def write_message(store: AsyncStore, category: str) -> object:
    return await store.write_message(_new_stream(category), NewMessage("Tested", {"number": 0}))


async def write_first(store: AsyncStore, category: str) -> object:
    return await store.write_message(
        _new_stream(category), NewMessage("Tested"), expected_version=NO_STREAM
    )


async def write_to_existing(store: AsyncStore, category: str) -> object:
    return await store.write_message(
        f"{category}-seed", NewMessage("Tested"), expected_version=STREAM_EXISTS
    )


async def write_messages(store: AsyncStore, category: str) -> object:
    return await store.write_messages(_new_stream(category), new_messages(3))


async def write_messages_first(store: AsyncStore, category: str) -> object:
    return await store.write_messages(
        _new_stream(category), new_messages(3), expected_version=NO_STREAM
    )


async def get_stream_messages(store: AsyncStore, category: str) -> object:
    return await store.get_stream_messages(f"{category}-seed")


async def get_stream_messages_with_condition(store: AsyncStore, category: str) -> object:
    return await store.get_stream_messages(f"{category}-seed", condition="messages.position >= 0")


async def get_category_messages(store: AsyncStore, category: str) -> object:
    return await store.get_category_messages(category, batch_size=10)


async def get_category_messages_with_condition(store: AsyncStore, category: str) -> object:
    return await store.get_category_messages(
        category, batch_size=10, condition="messages.type = 'Tested'"
    )


async def get_last_stream_message(store: AsyncStore, category: str) -> object:
    return await store.get_last_stream_message(f"{category}-seed")


async def get_last_stream_message_of_type(store: AsyncStore, category: str) -> object:
    return await store.get_last_stream_message(f"{category}-seed", type="Tested")


async def stream_version(store: AsyncStore, category: str) -> object:
    return await store.stream_version(f"{category}-seed")


async def message_store_version(store: AsyncStore, category: str) -> object:
    return await store.message_store_version()


async def read_stream(store: AsyncStore, category: str) -> object:
    return [message async for message in store.read_stream(f"{category}-seed", batch_size=1)]


async def read_category(store: AsyncStore, category: str) -> object:
    return [message async for message in store.read_category(category, batch_size=50)]


WRITES = {
    "write_message": Case(write_message, 1),
    "write_message_no_stream": Case(write_first, 1),
    "write_message_stream_exists": Case(write_to_existing, 1),
    "write_messages": Case(write_messages, 3),
    "write_messages_no_stream": Case(write_messages_first, 3),
}

READS = {
    "get_stream_messages": Case(get_stream_messages),
    "get_stream_messages_condition": Case(get_stream_messages_with_condition),
    "get_category_messages": Case(get_category_messages),
    "get_category_messages_condition": Case(get_category_messages_with_condition),
    "get_last_stream_message": Case(get_last_stream_message),
    "get_last_stream_message_type": Case(get_last_stream_message_of_type),
    "stream_version": Case(stream_version),
    "message_store_version": Case(message_store_version),
    "read_stream": Case(read_stream),
    "read_category": Case(read_category),
}

CASES = {**WRITES, **READS}

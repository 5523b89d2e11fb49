"""Messages that the server may refuse for their size: the caller's transaction survives that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg import AsyncConnection

from messagedb import (
    AsyncClient,
    DuplicateMessageError,
    NewMessage,
    ValidationError,
    WrongExpectedVersionError,
)
from messagedb._operations.requests import LARGE_CHARACTERS

LARGE = {"text": "x" * LARGE_CHARACTERS}

# It fits into jsonb; but while the server reads it, its list of values doubles to more than 1 GB.
TOO_MANY_VALUES = {"values": [1] * 16_800_000}


@pytest.fixture
async def conn(store_url: str) -> AsyncIterator[AsyncConnection[Any]]:
    """Return a connection of the user's own, not in autocommit mode."""
    async with await AsyncConnection.connect(store_url) as conn:
        yield conn


async def test_a_refused_message_does_not_abort_the_transaction(
    client: AsyncClient, category: str
) -> None:
    async with client.transaction() as tx:
        assert await tx.write_message(f"{category}-1", NewMessage("A")) == 0
        with pytest.raises(ValidationError, match=r"allocate more than 1 GB.*Nothing was written"):
            await tx.write_message(f"{category}-1", NewMessage("B", TOO_MANY_VALUES))
        assert await tx.write_message(f"{category}-1", NewMessage("C")) == 1
    assert [m.type for m in await client.get_stream_messages(f"{category}-1")] == ["A", "C"]


async def test_a_refused_batch_does_not_abort_a_transaction_on_the_users_connection(
    client: AsyncClient, conn: AsyncConnection[Any], category: str
) -> None:
    bound = client.bind(conn)
    assert await bound.write_message(f"{category}-1", NewMessage("A")) == 0
    with pytest.raises(ValidationError, match=r"allocate more than 1 GB.*Nothing was written"):
        await bound.write_messages(
            f"{category}-1", [NewMessage("B"), NewMessage("C", TOO_MANY_VALUES)]
        )
    assert await bound.write_message(f"{category}-1", NewMessage("D")) == 1
    await conn.commit()
    assert [m.type for m in await client.get_stream_messages(f"{category}-1")] == ["A", "D"]


async def test_a_large_message_is_written_once_in_a_transaction(
    client: AsyncClient, category: str
) -> None:
    stream, large = f"{category}-1", NewMessage("Large", LARGE)
    async with client.transaction() as tx:
        with pytest.raises(WrongExpectedVersionError):
            await tx.write_message(stream, large, expected_version=4)
        assert await tx.write_message(stream, large, expected_version=-1) == 0
        assert await tx.write_message(stream, NewMessage("Small")) == 1
        assert await tx.write_message(stream, large, expected_version=-1) == 0
    assert await client.write_message(stream, large) == 0
    first, second = await client.get_stream_messages(stream)
    assert (first.id, first.data, second.type) == (large.id, LARGE, "Small")


async def test_large_and_small_messages_are_one_batch(client: AsyncClient, category: str) -> None:
    stream = f"{category}-1"
    messages = [NewMessage("A"), NewMessage("Large", LARGE, metadata={"a": "\\"}), NewMessage("B")]
    assert await client.write_messages(stream, messages) == [0, 1, 2]
    assert await client.write_messages(stream, messages) == [0, 1, 2]
    more = [*messages, NewMessage("Large", LARGE), NewMessage("C")]
    assert await client.write_messages(stream, more) == [0, 1, 2, 3, 4]
    stored = await client.get_stream_messages(stream)
    assert [m.type for m in stored] == ["A", "Large", "B", "Large", "C"]
    assert (stored[1].data, stored[1].metadata) == (LARGE, {"a": "\\"})
    assert stored[3].data == LARGE


async def test_a_large_message_has_the_same_outcomes_as_a_small_one(
    client: AsyncClient, category: str
) -> None:
    stream, large = f"{category}-1", NewMessage("Large", LARGE, metadata={"a": "\\"})
    with pytest.raises(WrongExpectedVersionError, match="has no messages"):
        await client.write_message(stream, large, expected_version=4)
    assert await client.write_message(stream, large, expected_version=-1) == 0
    assert await client.write_message(stream, large, expected_version=-1) == 0
    with pytest.raises(DuplicateMessageError):
        await client.write_message(f"{category}-2", large)
    with pytest.raises(ValidationError, match=r"allocate more than 1 GB.*Nothing was written"):
        await client.write_message(stream, NewMessage("B", TOO_MANY_VALUES))
    (stored,) = await client.get_category_messages(category)
    assert (stored.data, stored.metadata) == (LARGE, {"a": "\\"})

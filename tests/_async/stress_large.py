"""The largest messages that the store takes, and batches and streams of a million messages."""

from __future__ import annotations

import hashlib
from typing import Any

import psycopg
import pytest

from messagedb import AsyncClient, Message, NewMessage, ValidationError
from messagedb._messages.jsonb_size import MAX_JSONB_BYTES
from tests.support.ledger import Ledger

PATIENCE = 600.0

# The header of an object, an entry for its key and one for its value, and the key.
LARGEST = MAX_JSONB_BYTES - 4 - 2 * 4 - len("text")
"""Characters of the largest string, as the only member of an object, that fits jsonb."""


async def write_large(conninfo: str, category: str, size: int, too_large: int) -> Ledger:
    """Write messages of a size, and messages that are too large.

    By itself, in a batch and in a transaction, the first is stored and read back equal; the other
    is refused, and nothing beside it is stored or lost.

    Args:
        conninfo: the store.
        category: the category of all streams.
        size: characters of the string in the messages.
        too_large: the same of a message that does not fit; 0 to write none.
    """
    ledger = Ledger()
    text = "x" * (size - 1) + "y"
    async with AsyncClient(conninfo, max_size=2, command_timeout=PATIENCE) as client:
        stream = f"{category}-alone"
        assert await client.write_message(stream, NewMessage("Large", {"text": text})) == 0
        if too_large:
            await expect_refusal(client, stream, too_large)
        check(ledger, await client.get_stream_messages(stream), ["Large"], text)
        await write_in_batch(client, f"{category}-batch", text, ledger)
        async with client.transaction(timeout=PATIENCE) as transaction:
            before = NewMessage("Small")
            await transaction.write_message(f"{category}-block", before)
            if too_large:
                # The server refuses what the client cannot measure; the transaction goes on.
                refused = NewMessage("Large", {"text": "x" * too_large})
                with pytest.raises(ValidationError, match="is larger than PostgreSQL allows"):
                    await transaction.write_message(f"{category}-block", refused)
            large = NewMessage("Large", {"text": text})
            await transaction.write_message(f"{category}-block", large)
            await transaction.write_message(f"{category}-block", NewMessage("Small"))
        found = await client.get_stream_messages(f"{category}-block", batch_size=-1)
        check(ledger, found, ["Small", "Large", "Small"], text)
    return ledger


async def write_in_batch(client: AsyncClient, stream: str, text: str, ledger: Ledger) -> None:
    """Write a message of the size between small ones."""
    batch = [NewMessage("Small"), NewMessage("Large", {"text": text}), NewMessage("Small")]
    assert await client.write_messages(stream, batch) == [0, 1, 2]
    check(
        ledger,
        await client.get_stream_messages(stream, batch_size=-1),
        ["Small", "Large", "Small"],
        text,
    )


async def expect_refusal(client: Any, stream: str, too_large: int) -> None:
    """Write a message that is too large; nothing of it is stored."""
    version = await client.stream_version(stream)
    with pytest.raises(ValidationError, match="is larger than PostgreSQL allows"):
        await client.write_message(stream, NewMessage("Large", {"text": "x" * too_large}))
    assert await client.stream_version(stream) == version


def check(ledger: Ledger, found: list[Message[Any]], types: list[str], text: str) -> None:
    """Compare the messages that were read with those that were written."""
    ledger.acknowledged += len(types)
    ledger.lost += max(0, len(types) - len(found))
    ledger.doubled += max(0, len(found) - len(types))
    assert [message.type for message in found] == types
    assert [message.position for message in found] == list(range(len(types)))
    for message in found:
        if message.type == "Large":
            assert digest(message.data["text"]) == digest(text), "it is read otherwise"


def digest(text: str) -> str:
    """Return a hash, which an error shows instead of the text."""
    return f"{len(text)} {hashlib.sha256(text.encode()).hexdigest()}"


async def write_batches(conninfo: str, admin: str, category: str, count: int) -> Ledger:
    """Write two batches of so many messages to one stream, the second one twice, and read them.

    Args:
        conninfo: the store.
        admin: a superuser's conninfo of it.
        category: the category of the stream.
        count: the number of messages in a batch.
    """
    ledger = Ledger()
    stream = f"{category}-1"
    async with AsyncClient(conninfo, max_size=2, command_timeout=PATIENCE) as client:
        for first in (0, count):
            batch = [NewMessage("Noted", {"n": first + n}) for n in range(count)]
            places = list(range(first, first + count))
            assert await client.write_messages(stream, batch) == places
            ledger.acknowledged += count
        # Again, as after a lost answer: it is found.
        assert await client.write_messages(stream, batch) == places
        assert await client.stream_version(stream) == 2 * count - 1
        last = await client.get_last_stream_message(stream)
        assert last is not None
        assert last.data == {"n": 2 * count - 1}
        position = 0
        async for message in client.read_stream(stream, batch_size=10_000):
            assert message.position == position, f"{message.position} after {position - 1}"
            position += 1
        assert position == 2 * count
        in_middle = await client.get_stream_messages(stream, position=count, batch_size=2)
        assert [message.data["n"] for message in in_middle] == [count, count + 1]
    stored, ids, in_order = ask_about(admin, stream)
    ledger.lost += max(0, 2 * count - ids)
    ledger.doubled += stored - ids
    ledger.misplaced += not in_order
    return ledger


def ask_about(admin: str, stream: str) -> tuple[int, int, bool]:
    """Return the number of messages of a stream, of ids, and True if all are in their places."""
    with psycopg.connect(admin, autocommit=True) as conn:
        row = conn.execute(
            "select count(*), count(distinct id), bool_and(position = (data->>'n')::bigint"
            " and position = place - 1) from (select id, position, data,"
            " row_number() over (order by global_position) place"
            " from message_store.messages where stream_name = %s) m",
            [stream],
        ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), bool(row[2])

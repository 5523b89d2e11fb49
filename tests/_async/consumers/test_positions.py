"""Positions of consumers in streams of Eventide's form: names, records, when they are stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from psycopg import AsyncConnection

from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncConsumer,
    LostHistoryError,
    NewMessage,
    PositionConflictError,
    StreamPositionStore,
    ValidationError,
)
from messagedb.consumers import NO_RETRY
from tests._async.consuming import record_numbers, saved, stream_of, write

NewDatabase = Callable[..., str]


def recorded(data: Any) -> NewMessage:
    return NewMessage("Recorded", data)


async def test_a_record_is_what_eventide_writes(
    client: AsyncClient, conn: AsyncConnection[Any], category: str
) -> None:
    """Unlike stetsmando's, whose names have a plus for the colon, and others with own types."""
    consumer = AsyncConsumer(client, f"{category}:command", identifier="someId")
    record_numbers(consumer)
    positions = await write(client, f"{category}:command-1", 0, 2)
    await consumer.run(until="caught_up")
    cursor = await conn.execute(
        "SELECT position, type, data::text, metadata FROM message_store.messages"
        " WHERE stream_name = %s",
        [f"{category}:command+position-someId"],
    )
    ((position, type, data, metadata),) = await cursor.fetchall()
    assert (position, type, metadata) == (0, "Recorded", None)
    # Eventide looks at the position only. The rest tells whether the store went back.
    record = msgspec.json.decode(data)
    assert record.pop("position") == positions[-1]
    assert set(record) == {"messageId", "history"}


@pytest.mark.parametrize(
    "data",
    [None, {}, {"position": None}, {"member": 0}],
    ids=["NULL", "empty", "null", "others"],
)
async def test_a_record_without_a_position_is_the_beginning(
    client: AsyncClient, category: str, data: Any
) -> None:
    consumer = AsyncConsumer(client, category, identifier="a")
    seen = record_numbers(consumer)
    positions = await write(client, f"{category}-1", 0, 2)
    await client.write_message(consumer.name, recorded(data))
    await consumer.run(until="caught_up")
    assert seen == [0, 1]
    records = await stream_of(client, consumer.name)
    assert [record.data["position"] for record in records[1:]] == [positions[-1]]


async def test_it_goes_on_after_what_another_client_has_recorded(
    client: AsyncClient, category: str
) -> None:
    """Unlike thalo-rs, which takes the record's own position in its stream for the one stored."""
    positions = await write(client, f"{category}-1", 0, 5)
    consumer = AsyncConsumer(client, category, identifier="a")
    seen = record_numbers(consumer)
    await client.write_message(consumer.name, recorded({"position": positions[3]}))
    # Keys and metadata that are not known say nothing, and the last record wins, also a smaller.
    await client.write_message(
        consumer.name,
        NewMessage(
            "Recorded", {"position": positions[2], "member": 0}, metadata={"schemaVersion": "1"}
        ),
    )
    await consumer.run(until="caught_up")
    assert seen == [3, 4]
    last = await client.get_last_stream_message(consumer.name)
    assert last is not None
    assert (last.position, last.data["position"]) == (2, positions[4])


@pytest.mark.parametrize(
    "record",
    [
        NewMessage("position", {"position": 1}),
        NewMessage("GlobalPositionSaved", {"position": 1}),
        NewMessage("Recorded", {"position": "1"}),
        NewMessage("Recorded", {"position": 1.5}),
        NewMessage("Recorded", {"position": True}),
    ],
    ids=["thalo", "haskell", "text", "fraction", "bool"],
)
async def test_a_record_that_is_none_is_refused_and_stays_the_last(
    client: AsyncClient, category: str, record: NewMessage
) -> None:
    consumer = AsyncConsumer(client, category, identifier="a")
    seen = record_numbers(consumer)
    await write(client, f"{category}-1", 0, 1)
    await client.write_message(consumer.name, recorded({"position": 0}))
    await client.write_message(consumer.name, record)
    with pytest.raises(PositionConflictError, match="Nothing was changed"):
        await consumer.run(until="caught_up")
    assert seen == []
    assert await client.stream_version(consumer.name) == 1


async def test_a_stream_of_the_user_s_choice(client: AsyncClient, category: str) -> None:
    stream = f"{category}Places-mine"
    store = StreamPositionStore(stream_name=stream)
    consumer = AsyncConsumer(client, category, identifier="a", position_store=store)
    record_numbers(consumer)
    positions = await write(client, f"{category}-1", 0, 1)
    await consumer.run(until="caught_up")
    assert consumer.name == stream
    assert await saved(client, consumer) == positions
    assert await client.stream_version(f"{category}:position-a") == NO_STREAM


async def test_members_and_identifiers_do_not_share_positions(
    client: AsyncClient, category: str
) -> None:
    """Unlike Eventide, where members with one identifier overwrite each other's and lose theirs."""
    for stream in range(8):
        await write(client, f"{category}-{stream}", stream, 1)
    seen: list[int] = []
    names: set[str] = set()
    for member in range(3):
        consumer = AsyncConsumer(
            client, category, identifier="g", group_member=member, group_size=3
        )
        mine = record_numbers(consumer)
        await consumer.run(until="caught_up")
        await consumer.run(until="caught_up")
        seen += mine
        names.add(consumer.name)
    assert sorted(seen) == list(range(8))
    assert len(names) == 3


async def test_a_position_beyond_the_head_is_an_error_at_the_start(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category, identifier="a")
    seen = record_numbers(consumer)
    positions = await write(client, f"{category}-1", 0, 2)
    await client.write_message(consumer.name, recorded({"position": 10**15}))
    with pytest.raises(LostHistoryError, match="reset_position"):
        await consumer.run(until="caught_up")
    assert seen == []
    assert await consumer.reset_position(positions[1]) == positions[1]
    await consumer.run(until="caught_up")
    assert seen == [1]


async def test_a_position_at_the_head_skips_no_message_that_comes_next(
    client: AsyncClient, category: str
) -> None:
    """Unlike KurrentDB (#4970), where a restart from a checkpoint skipped the event after it."""
    consumer = AsyncConsumer(client, category, types=["Wanted"])
    seen = record_numbers(consumer)
    await client.write_message(f"{category}-1", NewMessage("Wanted", {"n": 0}))
    for n in range(1, 4):
        await write(client, f"{category}-1", -1, 1)
        await consumer.run(until="caught_up")
        head = (await client.get_stream_messages(f"{category}-1"))[-1].global_position
        assert (await saved(client, consumer))[-1] == head
        await client.write_message(f"{category}-1", NewMessage("Wanted", {"n": n}))
    await consumer.run(until="caught_up")
    assert seen == [0, 1, 2, 3]


async def test_a_position_is_set_for_the_next_run(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(client, category, identifier="a", retry=NO_RETRY)
    seen = record_numbers(consumer)
    positions = await write(client, f"{category}-1", 0, 4)
    wanted: list[tuple[Any, int, list[int]]] = [
        ("end", positions[3], []),
        ("beginning", 0, [0, 1, 2, 3]),
        (positions[2], positions[2] - 1, [2, 3]),
        (1, 0, [0, 1, 2, 3]),
    ]
    for to, stored, expected in wanted:
        assert await consumer.reset_position(to) == stored + 1
        assert (await saved(client, consumer))[-1] == stored
        await consumer.run(until="caught_up")
        assert (to, seen) == (to, expected)
        seen.clear()
    before = await saved(client, consumer)
    wrong: Any
    for wrong in (0, -1, True, "stored", None, 2**63):
        with pytest.raises(ValidationError, match="a position is reset to"):
            await consumer.reset_position(wrong)
    async with consumer.running():
        await consumer.wait_until_caught_up(timeout=5)
        for each in (consumer, AsyncConsumer(client, category, identifier="a")):
            with pytest.raises(PositionConflictError, match="runs under"):
                await each.reset_position("beginning")
    assert await saved(client, consumer) == before

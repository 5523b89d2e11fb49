"""Reservations: one command has a key, also when it comes again, and when others race for it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import msgspec
import pytest
from psycopg import AsyncConnection

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    DuplicateMessageError,
    Message,
    MessageRegistry,
    Metadata,
    NewMessage,
    ValidationError,
)
from messagedb._operations.reservation import build_reservation
from tests._async.consuming import stream_of
from tests.support.background_async import Background


class Deposit(msgspec.Struct):
    n: int


async def commands(client: AsyncClient, category: str, count: int) -> list[Message[Any]]:
    """Write so many commands to one stream, and read them."""
    stream = f"{category}:command-1"
    for n in range(count):
        await client.write_message(stream, NewMessage("Deposit", {"n": n, "key": "k"}))
    return await client.get_stream_messages(stream)


async def test_the_first_command_has_the_key(client: AsyncClient, category: str) -> None:
    first, second = await commands(client, category, 2)
    key = f"{category}Key-k"
    assert [await client.reserve_command(each, key) for each in (first, second)] == [True, False]
    assert [await client.reserve_command(each, key) for each in (second, first)] == [False, True]
    await client.write_message(key, NewMessage("Done"))
    assert [await client.reserve_command(each, key) for each in (second, first)] == [False, True]
    copy, done = await client.get_stream_messages(key)
    assert (copy.type, copy.data, done.type) == ("Deposit", first.data, "Done")
    assert Metadata.from_message(copy).is_following(first)
    assert copy.id != first.id


async def test_a_reserved_command_is_copied_as_it_is_stored(store_url: str, category: str) -> None:
    registry = MessageRegistry()
    registry.add(Deposit, version=2)
    registry.upcaster(Deposit, lambda data: {"n": data["number"]}, from_version=1)
    async with AsyncClient(store_url, registry=registry) as client:
        stream, key = f"{category}:command-1", f"{category}Key-k"
        await client.write_message(
            stream, NewMessage("Deposit", {"number": 5}, metadata={"schemaVersion": "1"})
        )
        async for command in client.read_stream(stream, types=registry.types(Deposit)):
            assert command.data == Deposit(5)
            assert await client.reserve_command(command, key)
        (copy,) = await client.get_stream_messages(key)
        assert copy.data == {"number": 5}
        assert Metadata.from_message(copy).schema_version == "1"
        assert registry.decode(copy) == Deposit(5)


async def test_in_a_transaction_the_reservation_goes_with_it(
    client: AsyncClient, category: str
) -> None:
    first, second = await commands(client, category, 2)
    key = f"{category}Key-k"
    transaction = await client.begin()
    assert await transaction.reserve_command(first, key)
    assert not await transaction.reserve_command(second, key)
    await transaction.rollback()
    async with client.transaction() as transaction:
        assert await transaction.reserve_command(second, key)
        assert not await transaction.reserve_command(first, key)
        # It is not aborted.
        await transaction.write_message(f"{category}Other-1", NewMessage("Other"))
    assert [m.data["n"] for m in await client.get_stream_messages(key)] == [1]
    assert await client.stream_version(f"{category}Other-1") == 0


@pytest.mark.parametrize("direct", [None, False])
async def test_on_a_connection_of_the_users(
    store_url: str,
    client: AsyncClient,
    conn: AsyncConnection[Any],
    category: str,
    direct: bool | None,
) -> None:
    first, second = await commands(client, category, 2)
    key = f"{category}Key-k"
    async with AsyncClient(store_url, direct_writes=direct) as other:
        bound = other.bind(conn)
        assert await bound.reserve_command(first, key)
        assert not await bound.reserve_command(second, key)
        await conn.commit()
    assert len(await client.get_stream_messages(key)) == 1


async def test_many_race_for_one_key(client: AsyncClient, category: str) -> None:
    given = await commands(client, category, 8)
    key = f"{category}Key-k"
    races = [Background(client.reserve_command, each, key) for each in given]
    won = [await race.result() for race in races]
    assert sum(won) == 1
    [copy] = await client.get_stream_messages(key)
    assert copy.data["n"] == won.index(True)


async def test_only_the_conflict_of_versions_is_swallowed(
    client: AsyncClient, category: str
) -> None:
    [command] = await commands(client, category, 1)
    key = f"{category}Key-k"
    await client.write_message(
        f"{category}Else-1", NewMessage("X", id=build_reservation(command, key).id)
    )
    with pytest.raises(DuplicateMessageError):
        await client.reserve_command(command, key)
    with pytest.raises(ValidationError):
        await client.reserve_command(command, "")
    assert await client.get_stream_messages(key) == []


async def test_the_same_command_sent_twice_has_one_effect(
    client: AsyncClient, category: str
) -> None:
    keys, effects = f"{category}Key", f"{category}Effect-1"
    handing = AsyncConsumer(client, f"{category}:command", identifier="reserving")
    answers: list[bool] = []

    @handing.handler("Deposit")
    async def deposit(command: Message[Any], context: AsyncContext) -> None:
        stream = f"{keys}-{command.data['key']}"
        answers.append(await context.client.reserve_command(command, stream))

    doing = AsyncConsumer(client, keys, identifier="doing")

    @doing.handler("Deposit")
    async def do(command: Message[Any], context: AsyncContext) -> None:
        event = NewMessage("Deposited", command.data, id=context.derive_id("event"))
        await context.client.write_message(effects, event)

    key = str(uuid4())
    for _ in range(2):
        await client.write_message(f"{category}:command-1", NewMessage("Deposit", {"key": key}))
    for _ in range(2):
        for consumer in (handing, doing):
            await consumer.reset_position("beginning")
            await consumer.run(until="caught_up")
    assert answers == [True, False, True, False]
    assert [m.data for m in await stream_of(client, effects)] == [{"key": key}]


@pytest.mark.parametrize("decimals", [False, True])
async def test_the_copy_keeps_every_digit(store_url: str, category: str, decimals: bool) -> None:
    command_stream, key = f"{category}:command-1", f"{category}Key-k"
    data = '{"f": 1.2345678901234567890123, "z": 1.50, "i": 123456789012345678901234567890}'
    async with await AsyncConnection.connect(store_url, autocommit=True) as conn:
        await conn.execute(
            "select message_store.write_message(%s, %s, 'Deposit', %s, %s)",
            [str(uuid4()), command_stream, data, '{"properties": {"f": 0.1234567890123456789}}'],
        )
        async with AsyncClient(store_url, decimals=decimals) as client:
            [command] = await client.get_stream_messages(command_stream)
            assert await client.reserve_command(command, key)
        cursor = await conn.execute(
            "select a.data::text = b.data::text, b.metadata->>'properties'"
            " from message_store.messages a, message_store.messages b"
            " where a.stream_name = %s and b.stream_name = %s",
            [command_stream, key],
        )
        assert await cursor.fetchall() == [(True, '{"f": 0.1234567890123456789}')]

"""A user's types with the async variant; checked, never run."""

from __future__ import annotations

import dataclasses
from typing import Any, assert_type

import msgspec
from psycopg import AsyncConnection, IsolationLevel

from messagedb import (
    ANY,
    NO_STREAM,
    STREAM_EXISTS,
    AsyncClient,
    AsyncTransaction,
    Message,
    MessageRegistry,
    NewMessage,
    errors,
    schema,
)

registry = MessageRegistry()


@registry.add
class Deposited(msgspec.Struct):
    amount: int


@registry.add(type="AccountOpened")
@dataclasses.dataclass
class Opened:
    owner: str


async def write_typed(url: str) -> None:
    client = AsyncClient(url, registry=registry)
    assert_type(client.registry, MessageRegistry)
    assert_type(
        await client.write_message("account-1", Deposited(amount=5), metadata={"a": 1}), int
    )
    await client.write_message(
        "account-1", Opened("Ada"), id="0190b1f0-0000-7000-8000-000000000000"
    )
    await client.write_messages("account-1", [Opened("Ada"), Deposited(amount=5), NewMessage("A")])
    await client.write_messages("account-1", [Deposited(amount=5)])
    await client.write_message("account-1", {"amount": 5})  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert_type(registry.encode(Opened("Ada")), NewMessage)
    assert_type(registry.add(Deposited), type[Deposited])
    assert_type(registry.get_type(Deposited), str)
    for name, cls in registry:
        assert_type(name, str)
        assert_type(cls, type[Any])


async def use(url: str) -> None:
    async with AsyncClient(url, timeout=5.0, max_size=4) as client:
        assert_type(client, AsyncClient)
        message = NewMessage("Deposited", {"amount": 1})
        assert_type(await client.write_message("account-1", message), int)
        await client.write_message("account-1", message, expected_version=NO_STREAM)
        await client.write_message("account-1", message, expected_version=STREAM_EXISTS)
        positions = await client.write_messages("account-1", [message], expected_version=ANY)
        assert_type(positions, list[int])
        assert_type(await client.get_stream_messages("account-1", position=1), list[Message[Any]])
        assert_type(
            await client.get_category_messages("account", batch_size=10), list[Message[Any]]
        )
        assert_type(await client.get_last_stream_message("account-1"), Message[Any] | None)
        assert_type(await client.stream_version("account-1"), int)
        assert_type(await client.message_store_version(), str)
        async for read in client.read_stream("account-1"):
            assert_type(read, Message[Any])
        async for read in client.read_category("account"):
            assert_type(read.position, int)
            assert_type(read.global_position, int)


async def transact(client: AsyncClient) -> None:
    async with client.transaction(timeout=5.0, categories=["account"]) as tx:
        assert_type(tx, AsyncTransaction)
        assert_type(await tx.write_message("account-1", NewMessage("Deposited")), int)
        assert_type(tx.connection, AsyncConnection[Any])
        async with tx.savepoint():
            assert_type(await tx.stream_version("account-1"), int)
    begun = await client.begin(isolation=IsolationLevel.SERIALIZABLE, read_only=True)
    assert_type(begun, AsyncTransaction)
    assert_type(begun.is_active, bool)
    await begun.rollback()
    assert_type(await client.run_transaction(last, max_attempts=3), str | None)


async def last(tx: AsyncTransaction) -> str | None:
    message = await tx.get_last_stream_message("account-1")
    return None if message is None else message.type


async def install(url: str) -> None:
    assert_type(await schema.install_async(url), bool)
    assert_type(await schema.install_notify_async(url), bool)
    assert_type(await schema.remove_notify_async(url), bool)


def handle(error: errors.WrongExpectedVersionError) -> errors.MessageDBError:
    assert_type(error.stream_name, str)
    assert_type(error.actual_version, int)
    return error

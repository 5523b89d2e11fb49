"""A user's types with the sync variant; checked, never run."""

from __future__ import annotations

import dataclasses
from typing import Any, assert_type

import msgspec
from psycopg import Connection, IsolationLevel

from messagedb import (
    ANY,
    NO_STREAM,
    STREAM_EXISTS,
    Client,
    Message,
    MessageRegistry,
    NewMessage,
    Transaction,
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


def write_typed(url: str) -> None:
    client = Client(url, registry=registry)
    assert_type(client.registry, MessageRegistry)
    assert_type(client.write_message("account-1", Deposited(amount=5), metadata={"a": 1}), int)
    client.write_message("account-1", Opened("Ada"), id="0190b1f0-0000-7000-8000-000000000000")
    client.write_messages("account-1", [Opened("Ada"), Deposited(amount=5), NewMessage("A")])
    client.write_messages("account-1", [Deposited(amount=5)])
    client.write_message("account-1", {"amount": 5})  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert_type(registry.encode(Opened("Ada")), NewMessage)
    assert_type(registry.add(Deposited), type[Deposited])
    assert_type(registry.get_type(Deposited), str)
    for name, cls in registry:
        assert_type(name, str)
        assert_type(cls, type[Any])


def use(url: str) -> None:
    with Client(url, timeout=5.0, max_size=4) as client:
        assert_type(client, Client)
        message = NewMessage("Deposited", {"amount": 1})
        assert_type(client.write_message("account-1", message), int)
        client.write_message("account-1", message, expected_version=NO_STREAM)
        client.write_message("account-1", message, expected_version=STREAM_EXISTS)
        positions = client.write_messages("account-1", [message], expected_version=ANY)
        assert_type(positions, list[int])
        assert_type(client.get_stream_messages("account-1", position=1), list[Message[Any]])
        assert_type(client.get_category_messages("account", batch_size=10), list[Message[Any]])
        assert_type(client.get_last_stream_message("account-1"), Message[Any] | None)
        assert_type(client.stream_version("account-1"), int)
        assert_type(client.message_store_version(), str)
        for read in client.read_stream("account-1"):
            assert_type(read, Message[Any])
        for read in client.read_category("account"):
            assert_type(read.position, int)
            assert_type(read.global_position, int)


def transact(client: Client) -> None:
    with client.transaction(timeout=5.0, categories=["account"]) as tx:
        assert_type(tx, Transaction)
        assert_type(tx.write_message("account-1", NewMessage("Deposited")), int)
        assert_type(tx.connection, Connection[Any])
        with tx.savepoint():
            assert_type(tx.stream_version("account-1"), int)
    begun = client.begin(isolation=IsolationLevel.SERIALIZABLE, read_only=True)
    assert_type(begun, Transaction)
    assert_type(begun.is_active, bool)
    begun.rollback()
    assert_type(client.run_transaction(last, max_attempts=3), str | None)


def last(tx: Transaction) -> str | None:
    message = tx.get_last_stream_message("account-1")
    return None if message is None else message.type


def install(url: str) -> None:
    assert_type(schema.install(url), bool)
    assert_type(schema.install_notify(url), bool)
    assert_type(schema.remove_notify(url), bool)


def handle(error: errors.WrongExpectedVersionError) -> errors.MessageDBError:
    assert_type(error.stream_name, str)
    assert_type(error.actual_version, int)
    return error

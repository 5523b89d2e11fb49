"""Handlers of a consumer: which of them gets a message, what it is given, what goes around it."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    Message,
    NewMessage,
    ValidationError,
)
from tests._async.consuming import record_numbers, saved, write


class Deposited(msgspec.Struct, frozen=True):
    amount: int


@dataclasses.dataclass
class Withdrawn:
    amount: int
    fee: int = 0


@pytest.fixture
async def client(store_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client of the test's own: handlers add classes to its registry."""
    async with AsyncClient(store_url, max_size=4) as client:
        yield client


async def test_handlers_by_annotation_by_name_and_for_the_rest(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category)
    given: list[tuple[str, Any]] = []

    @consumer.handler
    async def deposited(event: Deposited) -> None:
        given.append(("class", event))

    @consumer.handler("Renamed", "Moved")
    async def named(message: Message[Any]) -> None:
        given.append(("name", message.data))

    @consumer.handler
    async def rest(message: Message[Any]) -> None:
        given.append(("rest", message.type))

    await client.write_messages(
        f"{category}-1",
        [
            NewMessage("Deposited", {"amount": 5, "unknown": True}),
            NewMessage("Moved", {"a": 1}),
            NewMessage("deposited"),
            Deposited(6),
            NewMessage("Renamed"),
        ],
    )
    await consumer.run(until="caught_up")
    assert given == [
        ("class", Deposited(5)),
        ("name", {"a": 1}),
        ("rest", "deposited"),
        ("class", Deposited(6)),
        ("name", None),
    ]
    assert consumer.registry is client.registry
    assert consumer.registry.get_class("Deposited") is Deposited
    assert consumer.status().handled_count == 5


async def test_a_union_a_registered_name_and_a_class_of_the_function_itself(
    client: AsyncClient, category: str
) -> None:
    class Local(msgspec.Struct, frozen=True):
        a: int

    client.registry.add(Withdrawn, type="AccountWithdrawn")
    consumer = AsyncConsumer(client, category)
    given: list[Any] = []

    @consumer.handler
    async def either(event: Deposited | Withdrawn, context: AsyncContext) -> None:
        given.append((event, context.message.type))

    @consumer.handler
    async def local(event: Local) -> None:
        given.append(event)

    await client.write_messages(
        f"{category}-1", [Withdrawn(3, 1), Deposited(5), Local(1), NewMessage("Withdrawn")]
    )
    await consumer.run(until="caught_up")
    assert given == [
        (Withdrawn(3, 1), "AccountWithdrawn"),
        (Deposited(5), "Deposited"),
        Local(1),
    ]
    assert len(client.registry) == 3


async def test_methods_and_objects_are_handlers_and_each_consumer_has_its_own(
    client: AsyncClient, category: str
) -> None:
    class Account:
        def __init__(self) -> None:
            self.balance = 0

        async def deposited(self, event: Deposited) -> None:
            self.balance += event.amount

        async def __call__(self, message: Message[Any], context: AsyncContext) -> None:
            assert context.message is message
            self.balance -= message.data["amount"]

    accounts = [Account(), Account()]
    consumers = [AsyncConsumer(client, category, identifier=name) for name in ("a", "b")]
    for account, consumer in zip(accounts, consumers, strict=True):
        assert consumer.handler(account.deposited) == account.deposited
        assert consumer.handler("Withdrawn")(account) is account
    await client.write_messages(
        f"{category}-1", [Deposited(5), NewMessage("Withdrawn", {"amount": 2})]
    )
    for consumer in consumers:
        await consumer.run(until="caught_up")
    assert [account.balance for account in accounts] == [3, 3]


async def test_a_message_without_a_handler_is_passed_over_and_counts(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category)
    given: list[int] = []

    @consumer.handler
    async def deposited(event: Deposited) -> None:
        given.append(event.amount)

    await client.write_message(f"{category}-1", Deposited(5))
    positions = await write(client, f"{category}-1", 0, 3)
    await consumer.run(until="caught_up")
    assert given == [5]
    assert consumer.status().handled_count == 1
    assert await saved(client, consumer) == [positions[-1]]


async def test_a_refused_handler_leaves_the_others_as_they_are(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category)
    seen = record_numbers(consumer)

    async def second(message: Message[Any]) -> None:
        raise AssertionError

    with pytest.raises(ValidationError, match="already has a handler"):
        consumer.handler(second)
    await write(client, f"{category}-1", 0, 1)
    await consumer.run(until="caught_up")
    assert seen == [0]


async def test_a_consumer_without_handlers_does_not_run(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(client, category)
    with pytest.raises(ValidationError, match="it has no handler"):
        await consumer.run()
    with pytest.raises(ValidationError, match="it has no handler"):
        async with consumer.running():
            raise AssertionError
    assert consumer.status().state == "stopped"
    assert await client.stream_version(consumer.name) == NO_STREAM


async def test_only_the_messages_of_the_category_in_their_order(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(client, category)
    seen = record_numbers(consumer)
    for n in range(0, 12, 4):
        await write(client, f"{category}-{n % 3}", n, 1)
        await write(client, f"{category}:command-1", n + 1, 1)
        await write(client, f"{category}X-1", n + 2, 1)
        await write(client, category, n + 3, 1)
    await consumer.run(until="caught_up")
    assert seen == [0, 3, 4, 7, 8, 11]

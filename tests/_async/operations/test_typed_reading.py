"""Typed reading, versions, aliases and codecs, through a store."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pydantic
import pytest

from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncConsumer,
    AsyncEntityStore,
    Message,
    MessageDecodeError,
    MessageRegistry,
    Metadata,
    NewMessage,
    Projection,
    ValidationError,
)
from messagedb._messages.codecs import PydanticCodec

registry = MessageRegistry()


@registry.add(version=2, aliases=["MoneyDeposited"])
class Deposited(msgspec.Struct, frozen=True, rename="camel"):
    account_id: str
    amount: int


@registry.upcaster(Deposited, from_version=1)
def deposited_2(data: dict[str, Any]) -> dict[str, Any]:
    """Convert version 1, in which the account was a number under the stored key."""
    data["accountId"] = str(data.pop("accountNumber"))
    return data


@registry.add
class Withdrawn(msgspec.Struct, frozen=True):
    amount: int


@registry.add(codec=PydanticCodec())
class Ordered(pydantic.BaseModel):
    order_id: uuid.UUID = pydantic.Field(alias="orderId")
    at: datetime
    total: Decimal


TYPES = registry.types(Deposited, Withdrawn)

EVENTS = [Deposited("7", 1), Deposited("7", 2), Deposited("7", 3), Withdrawn(4)]


def history() -> list[NewMessage]:
    """Return messages of each version and name, read as EVENTS, and one of another type."""
    return [
        NewMessage("MoneyDeposited", {"accountNumber": 7, "amount": 1}),
        NewMessage("Other", {"a": 1}),
        NewMessage("Deposited", {"accountNumber": 7, "amount": 2}, metadata={"schemaVersion": "1"}),
        NewMessage("Deposited", Deposited("7", 3)),
        NewMessage("Withdrawn", {"amount": 4}),
    ]


@pytest.mark.parametrize("batch_size", [1, 2, 1000, -1])
async def test_a_typed_read_gives_instances_and_passes_over_other_types(
    client: AsyncClient, store_url: str, category: str, batch_size: int
) -> None:
    stream = f"{category}-1"
    async with AsyncClient(store_url, registry=registry) as typed:
        await typed.write_messages(stream, history())
        read = [
            message
            async for message in typed.read_stream(stream, batch_size=batch_size, types=TYPES)
        ]
        assert [message.data for message in read] == EVENTS
        assert [message.position for message in read] == [0, 2, 3, 4]
        of_category = typed.read_category(category, batch_size=batch_size, types=TYPES)
        assert [message async for message in of_category] == read
        withdrawn = registry.types(Withdrawn)
        only = [message.data async for message in typed.read_stream(stream, types=withdrawn)]
        assert only == [Withdrawn(4)]
    # Any client reads with any registry's classes; without them a message is as it is stored.
    others = client.read_stream(stream, types=TYPES)
    assert [message.data async for message in others] == EVENTS
    [first, *_] = await client.get_stream_messages(stream)
    assert first.data == {"accountNumber": 7, "amount": 1}
    assert first.decode(TYPES) == EVENTS[0]


async def test_a_typed_read_takes_types_only(client: AsyncClient, category: str) -> None:
    wrong: Any = Deposited
    with pytest.raises(ValidationError, match=r"types must be made by registry\.types"):
        _ = [message async for message in client.read_stream(f"{category}-1", types=wrong)]
    with pytest.raises(ValidationError, match=r"types must be made by registry\.types"):
        _ = [message async for message in client.read_category(category, types=wrong)]


async def test_a_typed_message_that_does_not_fit_hides_no_other(
    client: AsyncClient, category: str
) -> None:
    stream = f"{category}-1"
    await client.write_messages(
        stream, [NewMessage("Withdrawn", {"amount": "4"}), NewMessage("Withdrawn", {"amount": 4})]
    )
    wrong, right = [message async for message in client.read_stream(stream, types=TYPES)]
    with pytest.raises(MessageDecodeError) as caught:
        _ = wrong.data
    error = caught.value
    assert (error.stream_name, error.position, error.field) == (stream, 0, "data.amount")
    assert right.data == Withdrawn(4)


async def test_the_version_is_written_and_read(store_url: str, category: str) -> None:
    stream = f"{category}-1"
    own = Metadata(correlation_stream_name="transfer-9")
    async with AsyncClient(store_url, registry=registry) as typed:
        event = Deposited("7", 5)
        await typed.write_message(stream, event)
        await typed.write_message(stream, event, metadata=own)
        await typed.write_messages(stream, [event, registry.encode(event, metadata={"a": 1})])
        async with typed.transaction() as tx:
            await tx.write_message(stream, event, metadata={"b": 2})
        page = await typed.get_stream_messages(stream)
        assert [message.metadata for message in page] == [
            {"schemaVersion": "2"},
            {"correlationStreamName": "transfer-9", "schemaVersion": "2"},
            {"schemaVersion": "2"},
            {"a": 1, "schemaVersion": "2"},
            {"b": 2, "schemaVersion": "2"},
        ]
        assert Metadata.from_message(page[1]).schema_version == "2"
        assert page[0].data == {"accountId": "7", "amount": 5}
        assert [registry.decode(message) for message in page] == [event] * 5
        with pytest.raises(ValidationError, match="metadata has the schemaVersion '1'"):
            await typed.write_message(stream, event, metadata={"schemaVersion": "1"})
        assert await typed.stream_version(stream) == 4


async def test_a_newer_version_is_an_error_that_tells_what_to_do(
    client: AsyncClient, category: str
) -> None:
    stream = f"{category}-1"
    newer = NewMessage("Deposited", {"iban": "x"}, metadata={"schemaVersion": "3"})
    await client.write_messages(stream, [newer, history()[0]])
    [first, second] = [message async for message in client.read_stream(stream, types=TYPES)]
    with pytest.raises(MessageDecodeError, match=r"version 3, .* up to version 2: upgrade this se"):
        _ = first.data
    assert second.data == EVENTS[0]


async def test_a_client_with_a_gap_does_not_open(store_url: str, category: str) -> None:
    own = MessageRegistry()
    own.add(Deposited, version=3)
    own.upcaster(Deposited, deposited_2, from_version=1)
    lacking = AsyncClient(store_url, registry=own)
    for _ in range(2):
        with pytest.raises(ValidationError, match="no upcaster from version 2 to 3 of 'Deposited'"):
            await lacking.write_message(f"{category}-1", NewMessage("A"))
        with pytest.raises(ValidationError, match=r"Nothing was sent\."):
            await lacking.open()
    own.upcaster(Deposited, dict, from_version=2)
    async with lacking:
        assert await lacking.stream_version(f"{category}-1") == NO_STREAM


async def test_models_of_pydantic_are_written_and_read(store_url: str, category: str) -> None:
    stream = f"{category}-1"
    order = Ordered(
        orderId=uuid.UUID(int=5),
        at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        total=Decimal("1.10"),
    )
    wrong: Any = Ordered.model_construct(order_id="x", at=order.at, total=Decimal(1))
    for decimals in (False, True):
        async with AsyncClient(store_url, registry=registry, decimals=decimals) as typed:
            await typed.write_message(stream, order)
            await typed.write_messages(stream, [order, NewMessage("Ordered", order)])
            orders = typed.read_stream(stream, types=registry.types(Ordered))
            assert {message.data == order async for message in orders} == {True}
            with pytest.raises(ValidationError, match=r"^data\.orderId does not fit Ordered"):
                await typed.write_message(stream, wrong)
    async with AsyncClient(store_url) as plain:
        [first, *others] = await plain.get_stream_messages(stream)
        assert (first.type, len(others)) == ("Ordered", 5)
        assert first.data == {
            "orderId": "00000000-0000-0000-0000-000000000005",
            "at": "2026-01-02T03:04:05.678901Z",
            "total": "1.10",
        }


async def test_handlers_and_entities_take_aliases_and_older_versions(
    store_url: str, category: str
) -> None:
    stream = f"{category}-1"
    async with AsyncClient(store_url, registry=registry) as typed:
        await typed.write_messages(stream, history())
        consumer = AsyncConsumer(typed, category)
        handled: list[Deposited | Withdrawn] = []

        @consumer.handler
        async def handle(event: Deposited | Withdrawn) -> None:
            handled.append(event)

        await consumer.run(until="caught_up")
        assert handled == EVENTS

        def evolve(balance: int, event: Deposited | Withdrawn) -> int:
            sign = 1 if isinstance(event, Deposited) else -1
            return balance + sign * event.amount

        accounts = AsyncEntityStore(typed, category, projection=Projection.of(int, evolve))
        assert await accounts.get("1") == 1 + 2 + 3 - 4


async def test_a_read_message_is_decoded_as_any_class(client: AsyncClient, category: str) -> None:
    stream = f"{category}-1"
    await client.write_message(stream, NewMessage("Unheard", {"amount": 4}))
    message: Message[Any] | None = await client.get_last_stream_message(stream)
    assert message is not None
    assert message.decode(Withdrawn) == Withdrawn(4)
    assert message.decode(registry) is message
    with pytest.raises(MessageDecodeError, match="it is 'Unheard', not one of"):
        message.decode(TYPES)

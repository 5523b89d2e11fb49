"""Typed messages: instances of registered classes, written and read through a store."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection

from messagedb import (
    NO_STREAM,
    AsyncClient,
    Message,
    MessageDecodeError,
    MessageRegistry,
    NewMessage,
    ValidationError,
)
from tests.support.json_values import numbers, texts

registry = MessageRegistry()


class Item(msgspec.Struct, frozen=True):
    key: uuid.UUID
    price: float
    next: Item | None = None


@registry.add
class Ordered(msgspec.Struct, frozen=True):
    number: int
    share: float
    either: int | float | str | bool | None
    items: list[Item]
    by_name: dict[str, int | None]
    free: dict[str, Any]
    at: datetime


@registry.add(type="AccountOpened")
@dataclasses.dataclass
class Opened:
    owner: str
    limit: int = 0


@registry.add
@dataclasses.dataclass
class Priced:
    price: Decimal
    share: float = 0.5


@registry.add
class Closed(msgspec.Struct):
    reason: str = ""


class Unheard(msgspec.Struct):
    a: int


@pytest.fixture(scope="module")
async def typed(store_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client that knows the classes of this module."""
    # A pool that grows draws random numbers in its thread, which Hypothesis takes for a strategy's.
    async with AsyncClient(store_url, registry=registry, max_size=1) as typed:
        await typed.message_store_version()
        yield typed


ITEMS = st.recursive(
    st.builds(
        Item,
        key=st.uuids(),
        price=st.floats(allow_nan=False, allow_infinity=False),
        next=st.none(),
    ),
    lambda inner: st.builds(Item, key=st.uuids(), price=st.just(1e16), next=inner),
    max_leaves=3,
)
ORDERED = st.builds(
    Ordered,
    number=st.integers(),
    share=st.floats(allow_nan=False, allow_infinity=False),
    either=st.one_of(st.none(), st.booleans(), numbers(), texts()),
    items=st.lists(ITEMS, max_size=3),
    by_name=st.dictionaries(texts(), st.one_of(st.none(), st.integers()), max_size=3),
    free=st.dictionaries(texts(), st.one_of(numbers(), st.lists(texts())), max_size=3),
    at=st.datetimes(timezones=st.one_of(st.none(), st.just(UTC))),
)


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(ORDERED, min_size=1, max_size=5))
async def test_an_instance_reads_back_equal(
    typed: AsyncClient, category: str, instances: list[Ordered]
) -> None:
    stream = f"{category}-{uuid.uuid4()}"
    await typed.write_message(stream, instances[0])
    await typed.write_messages(stream, instances)
    read = [registry.decode(message) async for message in typed.read_stream(stream)]
    assert read == [instances[0], *instances]


async def test_a_client_has_the_registry_that_it_was_given_or_an_empty_one(
    typed: AsyncClient,
) -> None:
    assert typed.registry is registry
    client = AsyncClient()
    assert len(client.registry) == 0
    assert client.registry is not AsyncClient().registry
    empty = MessageRegistry()
    assert AsyncClient(registry=empty).registry is empty
    with pytest.raises(ValidationError, match="registry must be a MessageRegistry, not dict"):
        AsyncClient(registry={})  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def test_a_class_may_be_added_to_the_registry_of_a_client(
    store_url: str, category: str
) -> None:
    stream = f"{category}-1"
    async with AsyncClient(store_url) as own:
        with pytest.raises(ValidationError, match=r"register the class, client\.registry\.add"):
            await own.write_message(stream, Unheard(1))
        assert await own.stream_version(stream) == NO_STREAM
        own.registry.add(Unheard)
        assert await own.write_message(stream, Unheard(1)) == 0


async def test_an_instance_is_written_with_its_type_and_defaults(
    typed: AsyncClient, category: str
) -> None:
    stream = f"{category}-1"
    key = uuid.uuid4()
    await typed.write_message(
        stream, Opened("Ada"), id=key, metadata={"a": 1}, expected_version=NO_STREAM
    )
    assert await typed.write_message(stream, Opened("Ada"), id=key) == 0
    await typed.write_messages(stream, [Closed(), NewMessage("Raw", {"a": 1}), Opened("Bob", 3)])
    opened, closed, raw, last = await typed.get_stream_messages(stream)
    assert (opened.id, opened.type, opened.metadata) == (key, "AccountOpened", {"a": 1})
    assert opened.data == {"owner": "Ada", "limit": 0}
    assert [registry.decode(message) for message in (opened, closed, last)] == [
        Opened("Ada"),
        Closed(),
        Opened("Bob", 3),
    ]
    assert registry.decode(raw) is raw


async def test_each_call_makes_an_id_and_a_new_message_keeps_its_own(
    typed: AsyncClient, category: str
) -> None:
    stream = f"{category}-1"
    closed = Closed("done")
    assert [await typed.write_message(stream, closed) for _ in range(2)] == [0, 1]
    once = registry.encode(closed)
    assert [await typed.write_message(stream, once) for _ in range(2)] == [2, 2]
    around = NewMessage("Closed", closed)
    assert [await typed.write_message(stream, around) for _ in range(2)] == [3, 3]


async def test_transactions_and_bound_clients_know_the_classes(
    typed: AsyncClient, conn: AsyncConnection[Any], category: str
) -> None:
    stream = f"{category}-1"
    async with typed.transaction() as tx:
        await tx.write_message(stream, Closed("a"))
        await tx.write_messages(stream, [Closed("b"), Closed("c")])
    async with conn.transaction():
        bound = typed.bind(conn)
        await bound.write_message(stream, Closed("d"))
        await bound.write_messages(stream, [Closed("e")])
    read = [registry.decode(message).reason async for message in typed.read_stream(stream)]
    assert read == ["a", "b", "c", "d", "e"]


async def test_instances_that_would_not_read_back_are_not_sent(
    typed: AsyncClient, category: str
) -> None:
    stream = f"{category}-1"
    wrong: Any = Closed(5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(ValidationError, match=r"^data\.reason does not fit Closed"):
        await typed.write_message(stream, wrong)
    with pytest.raises(ValidationError, match=r"messages\[1\]\.data\.reason does not fit Closed"):
        await typed.write_messages(stream, [Closed(), wrong])
    with pytest.raises(ValidationError, match=r"data\.price is a Decimal"):
        await typed.write_message(stream, Priced(Decimal("1.10")))
    assert await typed.stream_version(stream) == NO_STREAM


async def test_decimals_keep_their_digits(store_url: str, category: str) -> None:
    price = Priced(Decimal("1.10000000000000000000000000000001"), 0.1)
    async with AsyncClient(store_url, registry=registry, decimals=True) as exact:
        await exact.write_message(f"{category}-1", price)
        message: Message[Any] | None = await exact.get_last_stream_message(f"{category}-1")
        assert message is not None
        assert registry.decode(message) == price
        assert type(registry.decode(message).share) is float


async def test_one_message_that_does_not_fit_hides_no_other(
    typed: AsyncClient, category: str
) -> None:
    stream = f"{category}-1"
    others = [
        NewMessage("Closed", {"reason": 5}),
        NewMessage("Closed"),
        NewMessage("AccountOpened"),
    ]
    await typed.write_messages(stream, [*others, Closed("last")])
    wrong, empty, no_owner, last = await typed.get_stream_messages(stream)
    for message, reason in ((wrong, "got `int`"), (no_owner, "missing required field `owner`")):
        with pytest.raises(MessageDecodeError, match=reason) as caught:
            registry.decode(message)
        assert caught.value.position == message.position
    assert registry.decode(empty) == Closed()
    assert registry.decode(last) == Closed("last")

"""Through PL/Proxy each call is a transaction of another database: what needs one is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from messagedb import (
    NO_STREAM,
    STREAM_EXISTS,
    AsyncAllConsumer,
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    AsyncEntityStore,
    AsyncReadModel,
    DuplicateMessageError,
    IncompatibleServerError,
    Message,
    NewMessage,
    TablePositionStore,
    WrongExpectedVersionError,
)
from tests._async.accounts import DECIDER, Withdraw
from tests._async.entity_crowd import check_commands
from tests.support.plproxy import ProxiedStore, open_proxied

REFUSED = "by PL/Proxy, where each call is committed separately"


@pytest.fixture(scope="module")
def store() -> Generator[ProxiedStore]:
    """Return a store that is spread over two databases."""
    with open_proxied(ProxiedStore) as store:
        yield store


@pytest.fixture
async def proxied(store: ProxiedStore) -> AsyncIterator[AsyncClient]:
    """Return a client of it."""
    async with AsyncClient(store.url()) as client:
        yield client


def message(number: int = 0) -> NewMessage:
    return NewMessage("Noted", {"n": number})


async def test_a_block_whose_writes_would_stay_when_it_is_rolled_back_is_refused(
    proxied: AsyncClient, store: ProxiedStore, category: str
) -> None:
    stream = f"{category}-1"
    ways: list[dict[str, Any]] = [{}, {"read_only": True}, {"categories": [category]}]
    for options in ways:
        with pytest.raises(IncompatibleServerError, match=REFUSED):
            async with proxied.transaction(**options) as transaction:
                await transaction.write_message(stream, message())
    with pytest.raises(IncompatibleServerError, match=REFUSED):
        await proxied.begin()

    async def work(transaction: Any) -> None:
        await transaction.write_message(stream, message())

    with pytest.raises(IncompatibleServerError, match=REFUSED):
        await proxied.run_transaction(work)
    assert store.count(stream) == 0


@pytest.mark.parametrize("pooler", [False, True])
async def test_a_batch_that_would_not_be_all_or_none_is_refused(
    store: ProxiedStore, category: str, pooler: bool
) -> None:
    async with AsyncClient(store.url(), pooler=pooler) as client:
        with pytest.raises(IncompatibleServerError, match=REFUSED):
            await client.write_messages(f"{category}-1", [message(), message()])
        assert store.count(f"{category}-1") == 0
        assert await client.write_messages(f"{category}-1", [message()]) == [0]
    async with AsyncConnectionPool(store.url(), open=False, min_size=1) as pool:
        client = AsyncClient(pool=pool)
        with pytest.raises(IncompatibleServerError, match=REFUSED):
            await client.write_messages(f"{category}-1", [message(), message()])
        assert await client.write_messages(f"{category}-1", [message()]) == [1]


async def test_a_bound_client_in_a_transaction_is_refused(
    proxied: AsyncClient, store: ProxiedStore, category: str
) -> None:
    stream = f"{category}-1"
    conn = await AsyncConnection.connect(store.url())
    try:
        bound = proxied.bind(conn)
        with pytest.raises(IncompatibleServerError, match=REFUSED):
            await bound.write_message(stream, message())
        with pytest.raises(IncompatibleServerError, match=REFUSED):
            await bound.get_stream_messages(stream)
        await conn.rollback()
        await conn.set_autocommit(True)
        assert await bound.write_message(stream, message()) == 0
        assert len(await bound.get_stream_messages(stream)) == 1
        async with conn.transaction():
            with pytest.raises(IncompatibleServerError, match=REFUSED):
                await bound.write_message(stream, message())
    finally:
        await conn.close()
    assert store.count(stream) == 1


@pytest.mark.parametrize("pooler", [False, True])
async def test_single_writes_are_what_they_are_elsewhere(
    store: ProxiedStore, category: str, pooler: bool
) -> None:
    async with AsyncClient(store.url(), pooler=pooler) as client:
        for number in range(6):
            stream, first = f"{category}x{number}-1", message(1)
            assert await client.write_message(stream, first, expected_version=NO_STREAM) == 0
            assert await client.write_message(stream, message(2), expected_version=0) == 1
            assert await client.write_message(stream, first, expected_version=NO_STREAM) == 0
            with pytest.raises(WrongExpectedVersionError):
                await client.write_message(stream, message(), expected_version=0)
            assert (
                await client.write_message(stream, message(), expected_version=STREAM_EXISTS) == 2
            )
            with pytest.raises(DuplicateMessageError):
                await client.write_message(f"{category}x{number}-2", first)
            assert await client.stream_version(stream) == 2
            assert store.count(stream) == 3


def noting(consumer: AsyncConsumer) -> list[Any]:
    seen: list[Any] = []

    @consumer.handler
    async def note(message: Message[Any]) -> None:
        seen.append(message.data["n"])

    return seen


async def test_a_consumer_with_its_position_in_a_stream_goes_on_where_it_was(
    proxied: AsyncClient, category: str
) -> None:
    for number in range(3):
        await proxied.write_message(f"{category}-{number}", message(number))
    for expected in ([0, 1, 2], []):
        consumer = AsyncConsumer(proxied, category, identifier="mail")
        seen = noting(consumer)
        await consumer.run(until="caught_up")
        assert seen == expected
    await proxied.write_message(f"{category}-1", message(7))
    consumer = AsyncConsumer(proxied, category, identifier="mail")
    seen = noting(consumer)
    await consumer.run(until="caught_up")
    assert seen == [7]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"transactional": True}, REFUSED),
        ({"position_store": TablePositionStore()}, r"messagedb\.positions"),
    ],
    ids=["transactional", "table"],
)
async def test_consumers_that_need_a_transaction_or_our_table_are_refused(
    proxied: AsyncClient, category: str, options: dict[str, Any], text: str
) -> None:
    await proxied.write_message(f"{category}-1", message())
    consumer = AsyncConsumer(proxied, category, identifier="mail", on_error="skip", **options)
    seen = noting(consumer)
    with pytest.raises(IncompatibleServerError, match=text):
        await consumer.run(until="caught_up")
    assert seen == []
    assert consumer.status().stored_next_position is None


async def test_operations_that_need_the_table_are_refused(
    proxied: AsyncClient, category: str
) -> None:
    everything = AsyncAllConsumer(proxied, identifier="all", categories=[category])

    @everything.handler
    async def ignore(message: Message[Any]) -> None:
        return None

    with pytest.raises(IncompatibleServerError):
        await everything.run(until="caught_up")
    create = "CREATE TABLE {table} (n int)"
    several = [category, f"{category}Other"]
    for model, reason in [
        (AsyncReadModel(proxied, category, name="sums", version=1, create=create), "messagedb"),
        (
            AsyncReadModel(proxied, categories=several, name="sums", version=1, create=create),
            "several nodes, over which there is no one order",
        ),
    ]:

        @model.handler("Noted")
        async def add(message: Message[Any], context: AsyncContext) -> None:
            return None

        with pytest.raises(IncompatibleServerError, match=reason):
            await model.rebuild()


async def test_commands_of_many_tasks_to_one_entity_have_the_right_outcomes(
    store: ProxiedStore, category: str
) -> None:
    # Those that are decided together cannot be stored together: each is stored by itself.
    async with (
        AsyncClient(store.url(), max_size=4, group_commit=True) as client,
        AsyncClient(store.url(), max_size=4, registry=client.registry) as other,
    ):
        await check_commands([client, other], category, withdraws=False)
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        version = (await accounts.load("1")).version
        with pytest.raises(IncompatibleServerError, match=REFUSED):
            await accounts.transact("1", Withdraw(4))
        assert (await accounts.load("1")).version == version

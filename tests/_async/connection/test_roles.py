"""Each operation by roles that may only read, or only call the functions: done, or refused."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict

from messagedb import (
    AsyncAllConsumer,
    AsyncBoundClient,
    AsyncClient,
    AsyncConsumer,
    IncompatibleServerError,
    Message,
    NewMessage,
)
from tests._async.client_calls import CASES, READS, WRITES, seed
from tests.conftest import NewDatabase
from tests.support.backend import make_url
from tests.support.store import count_category, functions_only

MAY_READ = (
    "grant usage on schema message_store to {}",
    "grant select on message_store.messages to {}",
    "grant execute on all functions in schema message_store to {}",
)


@pytest.fixture(scope="module")
def owner_url(new_database: NewDatabase) -> str:
    """Return a superuser's URL of a database with our schema."""
    return new_database()


@pytest.fixture(scope="module")
def reader_url(owner_url: str) -> str:
    """Return the URL of a role that may read the table and call the functions."""
    name = conninfo_to_dict(owner_url)["dbname"]
    role = f"reader_{name}"
    with psycopg.connect(owner_url, autocommit=True) as conn:
        conn.execute(f"create role {role} login".encode())
        for text in MAY_READ:
            conn.execute(text.format(role).encode())
    return make_url(owner_url, user=role)


@pytest.fixture(scope="module")
def caller_url(new_database: NewDatabase) -> str:
    """Return the URL of a role that may call the functions, and neither read nor insert."""
    url = new_database()
    functions_only(url)
    return make_url(url, user="message_store")


@pytest.fixture
async def seeded(owner_url: str, category: str) -> str:
    """Return a category with the messages of the cases."""
    async with AsyncClient(make_url(owner_url, user="message_store")) as writer:
        await seed(writer, category)
    return category


@pytest.mark.parametrize("name", READS)
async def test_a_role_that_may_only_read_reads(
    owner_url: str, reader_url: str, seeded: str, name: str
) -> None:
    async with (
        AsyncClient(make_url(owner_url, user="message_store")) as other,
        AsyncClient(reader_url) as client,
        await AsyncConnection.connect(reader_url) as conn,
    ):
        wanted = await CASES[name].call(other, seeded)
        assert await CASES[name].call(client, seeded) == wanted
        assert await CASES[name].call(client.bind(conn), seeded) == wanted


@pytest.mark.parametrize("name", WRITES)
async def test_a_role_that_may_only_read_is_told_so_when_it_writes(
    owner_url: str, reader_url: str, seeded: str, name: str
) -> None:
    async with (
        AsyncClient(reader_url) as client,
        await AsyncConnection.connect(reader_url) as conn,
    ):
        stores: list[AsyncClient | AsyncBoundClient] = [client, client.bind(conn)]
        for store in stores:
            with pytest.raises(IncompatibleServerError, match="lacks a privilege") as caught:
                await CASES[name].call(store, seeded)
            assert isinstance(caught.value.__cause__, psycopg.errors.InsufficientPrivilege)
            assert "Nothing was written" in str(caught.value)
        # The transaction of the caller lives.
        assert await stores[1].stream_version(f"{seeded}-seed") == 1
    assert count_category(owner_url, seeded) == 2


async def test_a_role_that_may_only_read_follows(reader_url: str, seeded: str) -> None:
    async with AsyncClient(reader_url) as client:
        followed: list[int] = []
        async for message in client.subscribe(seeded):
            followed.append(message.position)
            if message.position == 1:
                break
        assert followed == [0, 1]
        lag = await client.get_lag([seeded], next_position=1)
        assert lag.messages == 2


async def test_a_consumer_that_may_not_store_its_position_says_so(
    reader_url: str, seeded: str
) -> None:
    async def handle(message: Message) -> None:
        handled.append(message.position)

    handled: list[int] = []
    async with AsyncClient(reader_url) as client:
        consumer = AsyncConsumer(client, seeded)
        consumer.handler(handle)
        with pytest.raises(IncompatibleServerError, match="lacks a privilege"):
            await consumer.run(until="caught_up")
    assert handled == [0, 1]


@pytest.mark.parametrize("name", CASES)
async def test_a_role_that_may_only_call_the_functions(
    caller_url: str, category: str, name: str
) -> None:
    case = CASES[name]
    async with (
        AsyncClient(caller_url) as client,
        await AsyncConnection.connect(caller_url) as conn,
    ):
        await seed(client, category)
        before = len(await client.get_category_messages(category, batch_size=-1))
        result = await case.call(client, category)
        bound = client.bind(conn)
        if name.endswith("_condition"):
            with pytest.raises(IncompatibleServerError, match="may not read"):
                await case.call(bound, category)
        elif not case.writes:
            assert await case.call(bound, category) == result
        else:
            await case.call(bound, category)
            await conn.commit()
        after = len(await client.get_category_messages(category, batch_size=-1))
        assert after == before + 2 * case.writes


async def test_a_consumer_by_the_functions_alone(caller_url: str, category: str) -> None:
    async def handle(message: Message) -> None:
        handled.append(message.position)

    handled: list[int] = []
    async with AsyncClient(caller_url) as client:
        await client.write_messages(f"{category}-1", [NewMessage("A"), NewMessage("B")])
        for _ in range(2):
            consumer = AsyncConsumer(client, category)
            consumer.handler(handle)
            await consumer.run(until="caught_up")
        everything = AsyncAllConsumer(client, identifier=f"{category}All")
        everything.handler(handle)
        with pytest.raises(IncompatibleServerError, match="may not read"):
            await everything.run(until="caught_up")
    assert handled == [0, 1]

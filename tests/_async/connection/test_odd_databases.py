"""Databases, roles and connections that are not as they usually are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from messagedb import (
    NO_STREAM,
    AsyncBoundClient,
    AsyncClient,
    DuplicateMessageError,
    IncompatibleServerError,
    NewMessage,
    ServerError,
    StoreUnavailableError,
    ValidationError,
    WrongExpectedVersionError,
)
from messagedb.errors import PoolTimeoutError
from tests.support import genuine

NewDatabase = Callable[..., str]


@pytest.fixture(scope="module")
def genuine_url(new_database: NewDatabase) -> str:
    """Return a superuser's URL of a genuine Message DB: its functions need a search_path."""
    url = new_database(install=False)
    genuine.install(url)
    return url


@pytest.fixture(params=["own", "pooler", "bound", "in a transaction"])
async def way(
    request: pytest.FixtureRequest, genuine_url: str
) -> AsyncIterator[AsyncClient | AsyncBoundClient]:
    """Return each of the ways in which operations run."""
    pooler = True if request.param == "pooler" else None
    async with (
        AsyncClient(genuine_url, pooler=pooler) as client,
        await AsyncConnection.connect(
            genuine_url, autocommit=request.param != "in a transaction"
        ) as conn,
    ):
        yield client if request.param in ("own", "pooler") else client.bind(conn)


async def test_a_unique_index_of_the_users_is_named(
    way: AsyncClient | AsyncBoundClient, genuine_url: str, category: str
) -> None:
    with psycopg.connect(genuine_url, autocommit=True) as owner:
        name = f"users_{category.lower()}"
        owner.execute(
            f"CREATE UNIQUE INDEX {name} ON message_store.messages ((data->>'{category}'))".encode()
        )
        message = {category: "taken"}
        await way.write_message(f"{category}-1", NewMessage("A", message))
        for write in (
            lambda: way.write_message(f"{category}-2", NewMessage("A", message)),
            lambda: way.write_messages(
                f"{category}-2", [NewMessage("A"), NewMessage("A", message)]
            ),
        ):
            with pytest.raises(ServerError, match=name) as caught:
                async with AsyncExitStack() as stack:
                    if isinstance(way, AsyncBoundClient):
                        # An index that Message DB does not know may abort the transaction.
                        await stack.enter_async_context(way.connection.transaction())
                    await write()
            assert caught.value.sqlstate == "23505"
            assert isinstance(caught.value.__cause__, psycopg.errors.UniqueViolation)
        assert await way.stream_version(f"{category}-2") == NO_STREAM
        if isinstance(way, AsyncBoundClient):
            await way.connection.commit()
        owner.execute(f"DROP INDEX message_store.{name}".encode())


async def test_a_temporary_table_takes_no_message(genuine_url: str, category: str) -> None:
    async with (
        AsyncClient(genuine_url, direct_writes=False) as functions,
        await AsyncConnection.connect(genuine_url, autocommit=True) as conn,
    ):
        await conn.execute("CREATE TEMPORARY TABLE messages (LIKE message_store.messages)")
        bound = functions.bind(conn)
        assert await bound.write_message(f"{category}-1", NewMessage("A")) == 0
        async with conn.transaction():
            assert await bound.write_message(f"{category}-1", NewMessage("A")) == 1
        assert len(await bound.get_stream_messages(f"{category}-1")) == 2
        assert await functions.stream_version(f"{category}-1") == 1


async def test_a_condition_finds_the_functions_on_every_connection(
    way: AsyncClient | AsyncBoundClient, category: str
) -> None:
    await way.write_message(f"{category}-1", NewMessage("A"))
    condition = f"category(stream_name) = '{category}' AND cardinal_id(stream_name) = '1'"
    assert len(await way.get_stream_messages(f"{category}-1", condition=condition)) == 1
    assert len(await way.get_category_messages(category, condition=condition)) == 1


@pytest.mark.parametrize("condition", ["data->>'n' = 5", "nope.x = 1", "1 / 0 = 1", "no syntax"])
async def test_an_invalid_condition_is_reported(
    way: AsyncClient | AsyncBoundClient, category: str, condition: str
) -> None:
    await way.write_message(f"{category}-1", NewMessage("A", {"n": 5}))
    with pytest.raises(ValidationError, match="perhaps its condition") as caught:
        await way.get_stream_messages(f"{category}-1", condition=condition)
    assert isinstance(caught.value.__cause__, psycopg.Error)


async def test_a_role_that_sees_no_table(functions_only_url: str, category: str) -> None:
    async with (
        AsyncClient(functions_only_url) as client,
        await AsyncConnection.connect(functions_only_url) as conn,
    ):
        stores: list[AsyncClient | AsyncBoundClient] = [client, client.bind(conn)]
        for number, store in enumerate(stores):
            for stream in (f"{category}{number}-1", f"{category}{number}"):
                first, second = NewMessage("A"), NewMessage("B")
                assert await store.write_message(stream, first) == 0
                assert await store.write_message(stream, first, expected_version=NO_STREAM) == 0
                assert await store.write_messages(stream, [first, second]) == [0, 1]
                with pytest.raises(WrongExpectedVersionError) as wrong:
                    await store.write_message(stream, NewMessage("C"), expected_version=5)
                assert wrong.value.actual_version == 1
                other = f"{category}-other"
                with pytest.raises(DuplicateMessageError, match="another stream"):
                    await store.write_message(other, first)
                with pytest.raises(DuplicateMessageError, match="another stream"):
                    await store.write_messages(other, [NewMessage("D"), second])
                assert await store.stream_version(f"{category}-other") == NO_STREAM
                last = await store.get_last_stream_message(stream)
                assert last is not None
                assert last.id == second.id
        with pytest.raises(IncompatibleServerError, match="may not read"):
            await stores[1].get_stream_messages(f"{category}1-1", condition="true")
        assert len(await stores[1].get_category_messages(f"{category}1")) == 4


async def test_a_connection_in_another_encoding_is_refused(
    client: AsyncClient, store_url: str, category: str
) -> None:
    for encoding in ("LATIN1", "SQL_ASCII"):
        async with await AsyncConnection.connect(store_url, client_encoding=encoding) as conn:
            bound = client.bind(conn)
            with pytest.raises(IncompatibleServerError, match=encoding):
                await bound.write_message(f"{category}-1", NewMessage("€"))
            with pytest.raises(IncompatibleServerError, match=encoding):
                await bound.stream_version(f"{category}-1")
            await conn.execute("SET client_encoding = 'UTF8'")
            assert await bound.write_message(f"{category}-1", NewMessage("€")) >= 0


async def fail_then_write(
    conn: AsyncConnection[Any], bound: AsyncBoundClient, stream_name: str
) -> None:
    async with conn.pipeline():
        await conn.execute("SELECT 1 / 0")
        await bound.write_message(stream_name, NewMessage("A"))


async def test_the_first_operation_in_a_pipeline_that_has_failed(
    store_url: str, category: str
) -> None:
    async with (
        AsyncClient(store_url) as fresh,
        await AsyncConnection.connect(store_url, autocommit=True) as conn,
    ):
        bound = fresh.bind(conn)
        with pytest.raises(psycopg.errors.DivisionByZero):
            await fail_then_write(conn, bound, f"{category}-1")
        assert await bound.write_message(f"{category}-1", NewMessage("A")) == 0


async def test_an_operation_inside_a_copy_is_refused(
    client: AsyncClient, store_url: str, category: str
) -> None:
    async with await AsyncConnection.connect(store_url) as conn, conn.cursor() as cursor:
        bound = client.bind(conn)
        assert await bound.stream_version(f"{category}-1") == NO_STREAM
        async with cursor.copy("COPY (SELECT generate_series(1, 3)) TO STDOUT") as copy:
            with pytest.raises(ValidationError, match="COPY"):
                await bound.stream_version(f"{category}-1")
            assert len([row async for row in copy]) >= 1


async def test_iterators_end_at_the_last_position_there_is(
    client: AsyncClient, database_url: str, category: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO message_store.messages (stream_name, type, position)"
            " VALUES (%s, 'Last', %s)",
            (f"{category}-1", 2**63 - 1),
        )
    start = 2**63 - 2
    read = [m async for m in client.read_stream(f"{category}-1", position=start, batch_size=1)]
    assert [message.position for message in read] == [2**63 - 1]


async def test_a_batch_tells_the_version_that_the_stream_has(
    client: AsyncClient, store_url: str, category: str
) -> None:
    stream, stored = f"{category}-1", NewMessage("B")
    await client.write_messages(stream, [NewMessage("A"), stored, NewMessage("C")])
    batch = [NewMessage("D"), stored, NewMessage("E")]
    async with AsyncClient(store_url, direct_writes=False) as functions:
        for store in (client, functions):
            with pytest.raises(WrongExpectedVersionError) as caught:
                await store.write_messages(stream, batch, expected_version=2)
            assert caught.value.actual_version == 2
            assert await store.stream_version(stream) == 2


async def test_borrowed_pools_that_cannot_give(store_url: str) -> None:
    async def leaves_a_transaction(conn: AsyncConnection[Any]) -> None:
        await conn.execute("SELECT 1")

    checked = AsyncConnectionPool(store_url, min_size=1, check=leaves_a_transaction, open=False)
    async with checked, AsyncClient(pool=checked) as client:
        assert await client.stream_version("a-1") == NO_STREAM
    full = AsyncConnectionPool(store_url, min_size=1, max_size=1, timeout=0.2, open=False)
    async with full, full.connection():
        client = AsyncClient(pool=full, timeout=0.2)
        with pytest.raises(PoolTimeoutError, match="All 1 connections are in use"):
            await client.stream_version("a-1")
    await client.close()


@pytest.mark.parametrize("host", ["db..example.invalid", ".x", "x" * 64])
async def test_a_host_that_is_no_name(host: str) -> None:
    with pytest.raises(StoreUnavailableError, match="Nothing was sent"):
        await AsyncClient(f"host={host} dbname=none").open()


@pytest.mark.parametrize(
    "schema", ["{columns}", "{condition}", "{table columns}", 'a"b', "%s", "$1"]
)
async def test_any_name_of_a_schema(new_database: NewDatabase, category: str, schema: str) -> None:
    from messagedb.schema import install

    url = new_database(install=False)
    assert install(url, schema=schema)
    async with (
        AsyncClient(url, schema=schema) as client,
        await AsyncConnection.connect(url) as conn,
    ):
        stores: list[AsyncClient | AsyncBoundClient] = [client, client.bind(conn)]
        for store in stores:
            assert await store.write_message(f"{category}-1", NewMessage("A")) >= 0
            await conn.commit()
            found = await store.get_stream_messages(f"{category}-1", condition="type = 'A'")
            assert found == await store.get_category_messages(category)


async def test_one_message_is_not_many(client: AsyncClient) -> None:
    for given in (NewMessage("A"), None, 5):
        with pytest.raises(ValidationError, match="iterable"):
            await client.write_messages("a-1", given)  # type: ignore[arg-type]

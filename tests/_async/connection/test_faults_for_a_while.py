"""Servers that refuse writes for a while: away, not wrong, and nothing counts against a message."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    IncompatibleServerError,
    Message,
    NewMessage,
    RetryPolicy,
    StoreUnavailableError,
    ValidationError,
    schema,
)
from messagedb.errors import EmbeddedServerError
from tests._async.consuming import numbered, stream_of, write
from tests.support.background_async import eventually
from tests.support.outcome import is_whole
from tests.support.server import OwnServer


def new_server() -> OwnServer:
    """Start a server of the test's own with our schema."""
    try:
        server = OwnServer()
    except EmbeddedServerError as error:
        pytest.skip(f"no programs to run a server of the test's own: {error}")
    schema.install(server.url())
    return server


def be_read_only(server: OwnServer, flag: str) -> None:
    """Set whether transactions of a server are read-only unless they say otherwise."""
    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute(f"alter system set default_transaction_read_only = {flag}".encode())
    server.reload()


async def until_told(conn: AsyncConnection[Any], flag: str = "on") -> None:
    """Wait until a session that was there before knows whether transactions are read-only."""
    until = time.monotonic() + 10.0
    while True:
        cursor = await conn.execute("show default_transaction_read_only")
        if await cursor.fetchone() == (flag,):
            return
        assert time.monotonic() < until


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    """Return a server of the tests' own."""
    server = new_server()
    yield server
    server.close()


@pytest.mark.parametrize("pooler", [False, True])
async def test_a_server_that_is_read_only_for_a_while_is_away(
    server: OwnServer, category: str, pooler: bool
) -> None:
    stream = f"{category}-1"
    url = server.url(user="message_store")
    async with (
        AsyncClient(url, pooler=pooler, max_size=1) as client,
        await AsyncConnection.connect(url) as conn,
    ):
        await client.write_message(stream, NewMessage("Tested"))
        be_read_only(server, "on")
        try:
            await until_told(conn)
            await conn.rollback()
            async with client.transaction() as tx:
                await until_told(tx.connection)

            async def in_transaction() -> None:
                async with client.transaction() as tx:
                    await tx.write_message(stream, NewMessage("Tested"))

            calls: list[Callable[[], Any]] = [
                lambda: client.write_message(stream, NewMessage("Tested")),
                lambda: client.write_messages(stream, numbered(0, 2)),
                lambda: client.write_messages(stream, numbered(0, 200)),
                in_transaction,
                lambda: client.bind(conn).write_message(stream, NewMessage("Tested")),
            ]
            for call in calls:
                with pytest.raises(StoreUnavailableError, match="accepts no writes now") as caught:
                    await call()
                assert caught.value.is_transient
                assert isinstance(caught.value.__cause__, psycopg.errors.ReadOnlySqlTransaction)
        finally:
            be_read_only(server, "off")
        await conn.rollback()
        await until_told(conn, "off")
        await conn.rollback()
        async with client.transaction() as tx:
            await until_told(tx.connection, "off")
        assert await client.write_message(stream, NewMessage("Tested")) == 1
        assert await client.bind(conn).write_message(stream, NewMessage("Tested")) == 2
        await conn.rollback()
        await eventually(lambda: is_whole(client))


@pytest.mark.parametrize("how", ["attribute", "statement", "in our own"])
async def test_a_transaction_that_its_user_began_as_read_only_refuses_writes(
    server: OwnServer, category: str, how: str
) -> None:
    url = server.url(user="message_store")
    message = NewMessage("Tested")
    async with AsyncClient(url) as client:
        with pytest.raises(ValidationError, match="started as read-only"):
            if how == "in our own":
                async with client.transaction() as tx:
                    await tx.connection.execute("SET TRANSACTION READ ONLY")
                    await tx.write_message(f"{category}-1", message)
            else:
                async with await AsyncConnection.connect(url) as conn:
                    if how == "attribute":
                        await conn.set_read_only(True)
                    else:
                        await conn.execute("SET TRANSACTION READ ONLY")
                    await client.bind(conn).write_message(f"{category}-1", message)
        assert await client.write_message(f"{category}-1", message) == 0


async def test_a_consumer_passes_over_nothing_while_the_server_is_read_only(
    server: OwnServer, category: str
) -> None:
    url = server.url(user="message_store")
    async with AsyncClient(url) as writer:
        last = (await write(writer, f"{category}-1", 0, 3))[-1]
    be_read_only(server, "on")
    # All of its connections know that from the first.
    async with AsyncClient(url, max_size=4) as client:
        consumer = AsyncConsumer(
            client,
            category,
            identifier="waiting",
            on_error="skip",
            retry=RetryPolicy(max_attempts=2, delay=0.001, max_delay=0.002),
            position_update_interval=1,
        )
        calls: list[int] = []

        @consumer.handler
        async def copy(message: Message[Any], context: AsyncContext) -> None:
            calls.append(context.attempt)
            number: int = message.data["n"]
            await context.client.write_message(
                f"{category}Copied-1",
                NewMessage("Copied", {"n": number}),
                id=context.derive_id("copy"),
            )

        async with consumer.running():
            try:
                await eventually(lambda: len(calls) >= 5, 20.0)
            finally:
                be_read_only(server, "off")
            await eventually(lambda: consumer.status().next_position == last + 1, 20.0)
        assert set(calls) == {1}
        copies = await stream_of(client, f"{category}Copied-1")
        assert [copied.data["n"] for copied in copies] == [0, 1, 2]


async def test_after_a_primary_was_demoted_the_pool_finds_the_new_one(category: str) -> None:
    first, second = new_server(), new_server()
    try:
        hosts = f"host={first.folder},{second.folder} port=5432,5432 sslmode=disable"
        url = f"{hosts} dbname=postgres user=message_store target_session_attrs=read-write"
        async with AsyncClient(url, min_size=3, max_size=3) as client:
            await eventually(lambda: is_whole(client))
            assert await client.write_message(f"{category}-1", NewMessage("Tested")) == 0
            be_read_only(first, "on")
            until = time.monotonic() + 10.0
            with pytest.raises(StoreUnavailableError, match="accepts no writes now"):
                # An existing session is notified a moment later.
                while time.monotonic() < until:
                    await client.write_message(f"{category}-1", NewMessage("Tested"))
            for position in range(6):
                written = await client.write_message(f"{category}-1", NewMessage("Tested"))
                assert written == position
    finally:
        first.close()
        second.close()


async def test_a_server_near_the_end_of_its_transaction_ids_is_away(category: str) -> None:
    server = new_server()
    try:
        try:
            server.near_wraparound()
        except FileNotFoundError as error:
            pytest.skip(f"the server's programs lack {error}")
        stream = f"{category}-1"
        async with AsyncClient(server.url(user="message_store"), max_size=2) as client:

            async def in_transaction() -> None:
                async with client.transaction() as tx:
                    await tx.write_message(stream, NewMessage("Tested"))

            calls: list[Callable[[], Any]] = [
                lambda: client.write_message(stream, NewMessage("Tested")),
                lambda: client.write_messages(stream, numbered(0, 2)),
                lambda: client.write_messages(stream, numbered(0, 200)),
                in_transaction,
            ]
            for call in calls:
                with pytest.raises(StoreUnavailableError, match="old transaction ids") as caught:
                    await call()
                assert isinstance(caught.value.__cause__, psycopg.errors.ProgramLimitExceeded)
                assert caught.value.is_transient
            assert await client.get_stream_messages(stream) == []
    finally:
        server.close()


async def test_a_column_of_another_type_is_not_told_as_a_store_that_is_away(
    new_database: Callable[..., str], category: str
) -> None:
    url = new_database()
    async with AsyncClient(url) as client:
        await client.write_message(f"{category}-1", NewMessage("Tested"))
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("drop view if exists message_store.category_type_summary")
        conn.execute("drop view if exists message_store.stream_summary")
        conn.execute(
            "alter table message_store.messages alter column time type timestamptz using time"
        )
    async with AsyncClient(url) as client:
        with pytest.raises(IncompatibleServerError, match="type"):
            await client.get_category_messages(category)
        async with client.transaction() as tx:
            with pytest.raises(IncompatibleServerError, match="type"):
                await tx.get_category_messages(category)

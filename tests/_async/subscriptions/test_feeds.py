"""Feeds of consumers: a category, and the whole store for any order of commits."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from _messagedb_async.subscriptions.feeds import AsyncCategoryFeed, AsyncFeed, AsyncStoreFeed
from messagedb import AsyncClient, IncompatibleServerError, Message, NewMessage, schema
from messagedb.errors import EmbeddedServerError
from tests.support.background_async import Background, sleep
from tests.support.server import OwnServer

NewDatabase = Callable[..., str]

SEQUENCE = "message_store.messages_global_position_seq"


class Reading:
    """A consumer's way through a feed, from a position on: what it got, in order."""

    def __init__(self, feed: AsyncFeed, position: int) -> None:
        self.feed = feed
        self.position = position
        self.messages: list[Message[Any]] = []

    @property
    def types(self) -> list[str]:
        return [message.type for message in self.messages]

    @property
    def holders(self) -> list[int | None]:
        return [writer.pid for writer in self.feed.blocked_by]

    async def read(self, times: int = 1) -> list[str]:
        """Read so many pages, and return the types of all messages so far."""
        for _ in range(times):
            scan = await self.feed.read_page(self.position)
            assert scan.position >= self.position - 1
            self.messages += scan.messages
            self.position = scan.position + 1
        return self.types

    async def read_until(self, count: int, limit: float = 20.0) -> list[str]:
        """Read until there are so many messages."""
        until = time.monotonic() + limit
        while len(await self.read()) < count:
            assert time.monotonic() < until, f"{len(self.messages)} of {count} messages came"
            if not self.feed.may_poll_soon:
                await sleep(0.002)
        return self.types


async def reading(client: AsyncClient, *categories: str, **options: Any) -> Reading:
    """Begin behind all that is there."""
    head = await client.get_store_head()
    assert head is not None
    return Reading(AsyncStoreFeed(client, categories or None, **options), head + 1)


@pytest.fixture
async def slow(store_url: str) -> AsyncIterator[AsyncConnection[Any]]:
    """Return the connection of a writer that takes its time."""
    async with await AsyncConnection.connect(
        store_url, application_name="slow writer", options="-csearch_path=message_store,public"
    ) as conn:
        yield conn
        await conn.rollback()


async def insert(conn: AsyncConnection[Any], stream: str, type_name: str) -> None:
    """Write a message by the server's function, and leave the transaction open."""
    await conn.execute(
        "SELECT write_message(gen_random_uuid()::varchar, %s, %s, '{}')", [stream, type_name]
    )


async def test_a_category_is_read_by_what_was_looked_at(client: AsyncClient, category: str) -> None:
    for number in range(6):
        await client.write_message(f"{category}-{number}", NewMessage(f"T{number % 2}"))
    everything = await client.get_category_messages(category)
    feed: AsyncFeed = AsyncCategoryFeed(client, category, 2, types=["T1"])
    consumer = Reading(feed, 1)
    assert await consumer.read() == ["T1"]
    assert consumer.position == everything[1].global_position + 1
    assert await consumer.read(3) == ["T1"] * 3
    assert await feed.get_head() == everything[-1].global_position
    assert (await feed.measure_lag(everything[3].global_position)).messages == 2
    assert (feed.blocked_by, feed.may_poll_soon) == ([], False)


async def test_a_later_position_waits_for_an_earlier_open_one(
    client: AsyncClient, slow: AsyncConnection[Any], category: str
) -> None:
    consumer = await reading(client, f"{category}A", f"{category}B")
    await client.write_message(f"{category}A-1", NewMessage("Before"))
    await insert(slow, f"{category}A-1", "Slow")
    await client.write_message(f"{category}B-1", NewMessage("Fast"))
    assert await consumer.read() == ["Before"]
    assert consumer.feed.may_poll_soon
    (holder,) = consumer.feed.blocked_by
    assert holder.pid == slow.info.backend_pid
    assert holder.user == "message_store"
    assert holder.application_name == "slow writer"
    assert holder.state == "idle in transaction"
    assert holder.since is not None
    assert holder.gid is None
    assert await consumer.read(3) == ["Before"]
    await slow.commit()
    assert await consumer.read() == ["Before", "Slow", "Fast"]
    assert (consumer.feed.blocked_by, consumer.feed.may_poll_soon) == ([], False)
    assert await consumer.read(2) == ["Before", "Slow", "Fast"]


async def test_a_rolled_back_position_is_no_gap(
    client: AsyncClient, slow: AsyncConnection[Any], category: str
) -> None:
    consumer = await reading(client, f"{category}A", f"{category}B")
    await insert(slow, f"{category}A-1", "Slow")
    await client.write_message(f"{category}B-1", NewMessage("Fast"))
    assert await consumer.read() == []
    assert consumer.holders == [slow.info.backend_pid]
    await slow.rollback()
    assert await consumer.read() == ["Fast"]
    assert not consumer.feed.may_poll_soon


async def test_a_category_that_nobody_asked_for_holds_back_too(
    client: AsyncClient, slow: AsyncConnection[Any], category: str
) -> None:
    consumer = await reading(client, f"{category}B")
    await insert(slow, f"{category}A-1", "Slow")
    await client.write_message(f"{category}B-1", NewMessage("Fast"))
    assert await consumer.read() == []
    await slow.commit()
    assert await consumer.read() == ["Fast"]


async def test_a_gap_of_long_ago_is_passed_at_once(
    client: AsyncClient, slow: AsyncConnection[Any], category: str
) -> None:
    consumer = await reading(client)
    for number in range(3):
        await insert(slow, f"{category}A-1", "Slow")
        await slow.rollback()
        await client.write_message(f"{category}B-1", NewMessage(f"Fast{number}"))
    assert await consumer.read() == ["Fast0", "Fast1", "Fast2"]
    assert (consumer.feed.blocked_by, consumer.feed.may_poll_soon) == ([], False)


async def test_who_begins_later_holds_nothing_back(
    client: AsyncClient, slow: AsyncConnection[Any], category: str
) -> None:
    consumer = await reading(client)
    await insert(slow, f"{category}A-1", "Slow")
    await client.write_message(f"{category}B-1", NewMessage("Fast"))
    assert await consumer.read() == []
    async with client.transaction() as tx:
        await tx.write_message(f"{category}C-1", NewMessage("Later"))
        await slow.commit()
        assert await consumer.read(2) == ["Slow", "Fast"]
    assert await consumer.read_until(3) == ["Slow", "Fast", "Later"]


async def test_a_consumers_own_transaction_does_not_block_its_reading(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, max_size=2) as client:
        consumer = await reading(client)
        async with client.transaction() as tx:
            await tx.write_message(f"{category}A-1", NewMessage("Own"))
            async with AsyncClient(store_url) as other:
                await other.write_message(f"{category}B-1", NewMessage("Other"))
            assert await consumer.read(3) == []
            assert consumer.feed.may_poll_soon
        assert await consumer.read() == ["Own", "Other"]


async def test_a_writer_stalled_between_its_position_and_its_message_is_not_missed(
    client: AsyncClient, database_url: str, category: str
) -> None:
    consumer = await reading(client)
    async with await AsyncConnection.connect(database_url) as conn:
        await conn.execute("LOCK TABLE message_store.messages IN ROW EXCLUSIVE MODE")
        row = await (await conn.execute(f"SELECT nextval('{SEQUENCE}')".encode())).fetchone()
        assert row is not None
        await client.write_message(f"{category}B-1", NewMessage("Fast"))
        assert await consumer.read(2) == []
        assert consumer.holders == [conn.info.backend_pid]
        await conn.execute(
            "INSERT INTO message_store.messages (global_position, stream_name, position, type)"
            " VALUES (%s, %s, 0, 'Slow')",
            [row[0], f"{category}A-1"],
        )
        assert await consumer.read(2) == []
        await conn.commit()
    assert await consumer.read() == ["Slow", "Fast"]


async def test_pages_types_and_conditions(client: AsyncClient, category: str) -> None:
    consumer = await reading(
        client,
        f"{category}A",
        f"{category}B",
        batch_size=2,
        types=["T0", "T2"],
        condition="data->>'n' <> '6'",
    )
    start = consumer.position
    for number in range(9):
        name = f"{category}{'ABC'[number % 3]}-1"
        await client.write_message(name, NewMessage(f"T{number % 4}", {"n": number}))
    assert (await consumer.feed.measure_lag(start - 1)).messages == 6
    head = await consumer.feed.get_head()
    assert head is not None
    assert (await consumer.feed.measure_lag(start - 1)).head == head - 1
    await consumer.read(6)
    assert consumer.position == head + 1
    assert [message.data["n"] for message in consumer.messages] == [0, 4]


async def test_writers_of_all_kinds_at_once(client: AsyncClient, category: str) -> None:
    """Several of them, each with its category; some roll back; the order must be the store's."""
    consumer = await reading(client, batch_size=7)
    chance = random.Random(category)

    async def write(number: int) -> None:
        for index in range(15):
            tx = await client.begin()
            try:
                names = [NewMessage(f"{number}:{index}:{k}") for k in range(chance.randrange(1, 4))]
                await tx.write_messages(f"{category}{number}-1", names)
                await sleep(chance.random() * 0.005)
            finally:
                await (tx.rollback() if chance.random() < 0.2 else tx.commit())

    writers = [Background(write, number) for number in range(3)]
    while not all(writer.ended for writer in writers):
        await consumer.read()
    for writer in writers:
        await writer.result()
    stored: list[Message[Any]] = []
    for number in range(3):
        stored += await client.get_category_messages(f"{category}{number}", batch_size=-1)
    stored.sort(key=lambda message: message.global_position)
    await consumer.read_until(len(stored))
    assert consumer.messages == stored


async def test_a_sequence_that_gives_positions_in_blocks_is_refused(
    new_database: NewDatabase, category: str
) -> None:
    url = new_database()
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"ALTER SEQUENCE {SEQUENCE} CACHE 10".encode())
        owner.execute(f"SELECT setval('{SEQUENCE}', 10)".encode())
    async with AsyncClient(url) as client:
        await client.write_message(f"{category}-1", NewMessage("A"))
        consumer = Reading(AsyncStoreFeed(client), 1)
        with pytest.raises(IncompatibleServerError, match="CACHE"):
            await consumer.read()


@pytest.fixture(scope="module")
def primary() -> Generator[OwnServer]:
    """Return a server of the tests' own, with our schema, that takes prepared transactions."""
    try:
        server = OwnServer()
    except EmbeddedServerError as error:
        pytest.skip(f"no programs to run a server of the test's own: {error}")
    schema.install(server.url())
    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute("alter system set max_prepared_transactions = 5")
    server.stop()
    server.start()
    yield server
    server.close()


async def test_a_prepared_transaction_outlives_the_server(
    primary: OwnServer, category: str
) -> None:
    async with AsyncClient(primary.url()) as client:
        consumer = await reading(client)
        async with await AsyncConnection.connect(primary.url()) as conn:
            await client.bind(conn).write_message(f"{category}A-1", NewMessage("Slow"))
            await client.write_message(f"{category}B-1", NewMessage("Fast"))
            assert await consumer.read() == []
            assert consumer.holders == [conn.info.backend_pid]
            await conn.execute("PREPARE TRANSACTION 'long one'")
            assert await consumer.read(2) == []
            (holder,) = consumer.feed.blocked_by
            assert (holder.pid, holder.gid, holder.user) == (None, "long one", "postgres")
            assert holder.since is not None
            assert holder.application_name is None
        primary.stop(at_once=True)
        primary.start()
        assert await consumer.read(2) == []
        (holder,) = consumer.feed.blocked_by
        assert holder.gid == "long one"
        with psycopg.connect(primary.url(), autocommit=True) as conn:
            conn.execute("COMMIT PREPARED 'long one'")
        assert await consumer.read() == ["Slow", "Fast"]


async def test_a_standby_is_refused(primary: OwnServer, category: str) -> None:
    with psycopg.connect(primary.url(), autocommit=True) as conn:
        conn.execute("checkpoint")
    standby = OwnServer(standby_of=primary)
    try:
        async with AsyncClient(standby.url()) as client:
            for call in (
                client.list_open_write_transactions,
                client.scan_all,
                lambda: AsyncStoreFeed(client).read_page(1),
            ):
                with pytest.raises(IncompatibleServerError, match="standby"):
                    await call()
            assert (await client.scan_category(category)).count == 0
            assert await client.get_store_head() is not None
    finally:
        standby.close()

"""Each operation, cancelled at each step, leaves the pool whole and nothing half written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from itertools import product
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

from messagedb import AsyncClient, NewMessage
from tests._async.client_calls import CASES, WRITES, seed
from tests.support.backend import make_url
from tests.support.background_async import eventually
from tests.support.outcome import AsyncStore, is_whole, pool_of
from tests.support.stepping import at_each_step, cancelled_at
from tests.support.store import count_category, sessions

KINDS: dict[str, dict[str, Any]] = {
    "own": {},
    "pooler": {"pooler": True},
    "functions": {"direct_writes": False},
    "pooler_functions": {"pooler": True, "direct_writes": False},
    "borrowed": {},
}


@asynccontextmanager
async def open_client(store_url: str, kind: str, size: int) -> AsyncGenerator[AsyncClient]:
    """Return a client of a kind with all of its connections."""
    if kind == "borrowed":
        async with AsyncConnectionPool(store_url, min_size=size, max_size=size, open=False) as pool:
            yield AsyncClient(pool=pool)
    else:
        async with AsyncClient(store_url, min_size=size, max_size=size, **KINDS[kind]) as client:
            await eventually(lambda: is_whole(client))
            yield client


async def copies(conn: AsyncConnection[Any]) -> None:
    """See that a connection can COPY; leave it as it was."""
    async with conn.cursor() as cursor:
        await cursor.execute("CREATE TEMPORARY TABLE IF NOT EXISTS copied (number int)")
        async with cursor.copy("COPY copied FROM STDIN") as copy_in:
            await copy_in.write(b"1\n2\n3\n")
        async with cursor.copy("COPY copied TO STDOUT") as copy_out:
            assert b"".join([bytes(part) async for part in copy_out]) == b"1\n2\n3\n"
        await cursor.execute("DROP TABLE copied")
    if not conn.autocommit:
        await conn.rollback()


async def works(store: AsyncStore, category: str) -> None:
    """Write and read a message."""
    message = NewMessage("Checked")
    position = await store.write_message(f"{category}-check", message)
    (read,) = await store.get_stream_messages(f"{category}-check", position=position)
    assert read.id == message.id


async def every_connection_works(client: AsyncClient, category: str, size: int) -> None:
    """Write, read and copy on each connection of the pool."""
    pool = pool_of(client)
    taken = [await pool.getconn(5.0) for _ in range(size)]
    for conn in taken:
        # The only one that is there, so the client takes it.
        await pool.putconn(conn)
        await works(client, category)
        assert await pool.getconn(5.0) is conn
        await copies(conn)
    for conn in taken:
        assert conn.pgconn.transaction_status == TransactionStatus.IDLE
        await pool.putconn(conn)
    assert is_whole(client)


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "answered"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
async def test_an_operation_of_the_client(
    store_url: str, category: str, kind: str, name: str, late: bool
) -> None:
    case, size = CASES[name], 2
    async with open_client(store_url, kind, size) as client:
        await seed(client, category)
        count = count_category(store_url, category)

        async def once(step: int, _: str) -> bool:
            nonlocal count
            undisturbed = await cancelled_at(run(case.call, client, category), step, late=late)
            await eventually(lambda: is_whole(client))
            await every_connection_works(client, f"{category}c", size)
            before, count = count, count_category(store_url, category)
            assert count - before in ({case.writes} if undisturbed else {0, case.writes})
            return undisturbed

        await at_each_step(once)


def is_waited_for(pool: Any, waiting: asyncio.Future[Any]) -> bool:
    """Return True if a caller waits for a connection, or has given up."""
    return waiting.done() or pool.get_stats()["requests_waiting"] > 0


async def run(call: Any, store: AsyncStore, category: str) -> object:
    """Make a coroutine of an operation."""
    return await call(store, category)


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "answered"])
@pytest.mark.parametrize("name", ["write_message", "write_messages", "get_stream_messages"])
async def test_the_first_operation_which_opens_the_client(
    store_url: str, category: str, name: str, late: bool
) -> None:
    case, size = CASES[name], 2
    async with AsyncClient(store_url) as client:
        await seed(client, category)
    count = count_category(store_url, category)
    url = make_url(store_url, application_name=category)

    async def once(step: int, _: str) -> bool:
        nonlocal count
        client = AsyncClient(url, min_size=size, max_size=size)
        undisturbed = await cancelled_at(run(case.call, client, category), step, late=late)
        before, count = count, count_category(store_url, category)
        assert count - before in (0, case.writes)
        await works(client, f"{category}c")
        await eventually(partial(is_whole, client))
        await client.close()
        await eventually(lambda: sessions(store_url, category) == 0)
        return undisturbed

    await at_each_step(once, least=2)


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "answered"])
@pytest.mark.parametrize("name", ["write_message", "write_messages", "get_stream_messages"])
async def test_waiting_for_a_connection(
    store_url: str, category: str, name: str, late: bool
) -> None:
    case, size = CASES[name], 4
    async with open_client(store_url, "own", size) as client:
        await seed(client, category)
        await eventually(lambda: is_whole(client))
        pool = pool_of(client)
        count = count_category(store_url, category)

        async def once(step: int, _: str) -> bool:
            nonlocal count
            taken = [await pool.getconn(5.0) for _ in range(size)]
            waiting = asyncio.ensure_future(
                cancelled_at(run(case.call, client, category), step, late=late)
            )
            await eventually(partial(is_waited_for, pool, waiting))
            for conn in taken:
                await pool.putconn(conn)
            undisturbed = await waiting
            await eventually(lambda: is_whole(client))
            await every_connection_works(client, f"{category}c", size)
            before, count = count, count_category(store_url, category)
            assert count - before in (0, case.writes)
            return undisturbed

        await at_each_step(once, least=2)


async def test_waiting_for_a_connection_that_never_comes(store_url: str, category: str) -> None:
    size = 2
    async with open_client(store_url, "own", size) as client:
        pool = pool_of(client)
        taken = [await pool.getconn(5.0) for _ in range(size)]
        calls: list[Coroutine[Any, Any, object]] = [
            run(case.call, client, category) for case in CASES.values()
        ]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await eventually(lambda: pool.get_stats()["requests_waiting"] == len(tasks))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=5.0)
        assert all(task.cancelled() for task in tasks)
        for conn in taken:
            await pool.putconn(conn)
        await eventually(lambda: is_whole(client))
        await every_connection_works(client, category, size)
    assert count_category(store_url, category) == 2


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "answered"])
@pytest.mark.parametrize("direct_writes", [True, False], ids=["direct", "functions"])
@pytest.mark.parametrize(
    ("name", "end"),
    [*product(CASES, ["autocommit", "commit"]), *product(WRITES, ["rollback"])],
)
async def test_an_operation_of_a_bound_connection(
    store_url: str, category: str, name: str, direct_writes: bool, end: str, late: bool
) -> None:
    case, autocommit = CASES[name], end == "autocommit"
    client = AsyncClient(store_url, direct_writes=direct_writes)
    await seed(client, category)
    count = count_category(store_url, category)

    async def once(step: int, _: str) -> bool:
        nonlocal count
        async with await AsyncConnection.connect(store_url, autocommit=autocommit) as conn:
            store = client.bind(conn)
            await store.stream_version(f"{category}-seed")
            undisturbed = await cancelled_at(run(case.call, store, category), step, late=late)
            if not autocommit:
                assert count_category(store_url, category) == count
            # A caller who takes no notice of the cancellation commits all of it or none.
            if end == "commit":
                await conn.commit()
            elif end == "rollback":
                await conn.rollback()
            before, count = count, count_category(store_url, category)
            assert count - before in (0, 0 if end == "rollback" else case.writes)
            await works(store, f"{category}c")
            if not autocommit:
                await conn.commit()
            await copies(conn)
            return undisturbed

    await at_each_step(once)
    await client.close()


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "answered"])
async def test_the_first_operation_of_a_bound_connection_leaves_no_transaction(
    store_url: str, category: str, late: bool
) -> None:
    async with await AsyncConnection.connect(store_url, autocommit=True) as conn:

        async def once(step: int, _: str) -> bool:
            store = AsyncClient(store_url).bind(conn)  # it knows nothing of the server yet
            call = store.stream_version(f"{category}-1")
            undisturbed = await cancelled_at(call, step, late=late)
            assert conn.pgconn.transaction_status == TransactionStatus.IDLE
            (limit,) = await (await conn.execute("SHOW statement_timeout")).fetchone() or ("",)
            assert limit == "0"
            return undisturbed

        await at_each_step(once)

"""Transactions that lock categories in any order, beside single writes that take one lock each."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from messagedb import AsyncBoundClient, AsyncClient, AsyncTransaction, NewMessage
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually
from tests.support.outcome import is_whole

WRITES = 128
WRITERS = 8


@pytest.fixture(scope="module")
def url(new_database: Callable[..., str]) -> str:
    """Return the URL of a database whose server looks for deadlocks soon."""
    url = new_database()
    with psycopg.connect(url, autocommit=True) as conn:
        name = conn.info.dbname
        conn.execute(f'alter database "{name}" set deadlock_timeout = 10'.encode())
    return make_url(url, user="message_store")


Store = AsyncClient | AsyncBoundClient


@pytest.fixture(params=["own", "pooler", "borrowed", "bound", "functions"])
async def stores(request: pytest.FixtureRequest, url: str) -> AsyncIterator[list[Store]]:
    """Return a store for each writer, of each of the ways in which a single write runs."""
    way = request.param
    async with AsyncExitStack() as stack:
        if way == "borrowed":
            pool = AsyncConnectionPool(url, min_size=WRITERS, max_size=WRITERS, open=False)
            await stack.enter_async_context(pool)
            client = AsyncClient(pool=pool)
        else:
            client = AsyncClient(
                url,
                min_size=WRITERS,
                max_size=WRITERS,
                pooler=way == "pooler",
                direct_writes=False if way == "functions" else None,
            )
        await stack.enter_async_context(client)
        if way == "bound":
            conns = [
                await stack.enter_async_context(await AsyncConnection.connect(url, autocommit=True))
                for _ in range(WRITERS)
            ]
            yield [client.bind(conn) for conn in conns]
        else:
            yield [client] * WRITERS
        await eventually(lambda: is_whole(client))


@pytest.mark.parametrize("count", [1, 3])
async def test_no_single_write_is_refused_for_the_disorder_of_others(
    stores: list[Store], url: str, category: str, count: int
) -> None:
    categories = [f"{category}{name}" for name in "abcd"]
    rng = random.Random(count)
    done: list[int] = []

    async def disorder(client: AsyncClient, seed: int) -> int:
        rng = random.Random(seed)
        tries = 0

        async def work(tx: AsyncTransaction) -> None:
            nonlocal tries
            tries += 1
            for name in rng.sample(categories, 4):
                await tx.write_message(f"{name}-{seed}", NewMessage("Locked"))

        runs = 0
        while len(done) < WRITES:
            await client.run_transaction(work, max_attempts=1000)
            runs += 1
        return tries - runs

    async def write(store: Store) -> None:
        for _ in range(WRITES // WRITERS):
            stream = f"{rng.choice(categories)}-single"
            if count == 1:
                await store.write_message(stream, NewMessage("Single"))
            else:
                await store.write_messages(stream, [NewMessage("Single") for _ in range(count)])
            done.append(1)

    async with AsyncClient(url, min_size=8, max_size=8) as client:
        disorders = [Background(disorder, client, seed) for seed in range(8)]
        writers = [Background(write, store) for store in stores]
        outcomes = [await writer.outcome(60.0) for writer in writers]
        done.extend([0] * WRITES)
        deadlocks = sum([await each.result(60.0) for each in disorders])
        assert [outcome.error for outcome in outcomes] == [None] * WRITERS
        assert deadlocks > 0
        written = 0
        for name in categories:
            messages = await client.get_stream_messages(f"{name}-single", batch_size=-1)
            written += len(messages)
        assert written == WRITES * count

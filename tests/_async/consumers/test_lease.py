"""The lease of a consumer, as others on the server see it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import psycopg

from messagedb import AsyncClient, AsyncConsumer, Message
from tests._async.consuming import record_numbers, write
from tests.support.backend import make_url
from tests.support.background_async import eventually
from tests.support.store import locked


async def test_the_open_transaction_of_the_lease_holds_no_snapshot(
    store_url: str, database_url: str, category: str
) -> None:
    """Vacuum would keep all that is deleted after it, for as long as the consumer runs."""
    async with AsyncClient(make_url(store_url, application_name=category)) as client:
        consumer = AsyncConsumer(client, category, identifier="lease")

        @consumer.handler
        async def handle(message: Message[Any]) -> None:
            raise AssertionError("nothing is written")

        async with consumer.running():
            await consumer.wait_until_caught_up(timeout=10)
            with psycopg.connect(database_url, autocommit=True) as conn:
                held = conn.execute(
                    "select backend_xmin, backend_xid from pg_stat_activity"
                    " where application_name = %s and state = 'idle in transaction'",
                    [category],
                ).fetchall()
    assert held == [(None, None)]


def age_of_lease(url: str, name: str) -> float | None:
    """Return for how many seconds a session of this name has held a lease; None for none."""
    with psycopg.connect(url, autocommit=True) as conn:
        row = conn.execute(
            "select extract(epoch from clock_timestamp() - xact_start)::float8"
            " from pg_locks join pg_stat_activity using (pid)"
            " where locktype = 'advisory' and objsubid = 2 and application_name = %s",
            [name],
        ).fetchone()
    return None if row is None else row[0]


async def test_a_slow_start_does_not_lose_the_lease(
    store_url: str, database_url: str, category: str
) -> None:
    async with AsyncClient(make_url(store_url, application_name=category)) as client:
        consumer = AsyncConsumer(client, category, identifier="slow", lease_timeout=0.3)
        seen = record_numbers(consumer)
        await write(client, f"{category}-1", 0, 1)
        ages: list[float] = []

        def has_held_it_for_long() -> bool:
            age = age_of_lease(database_url, category)
            # It was taken when it was first seen, and is never lost after that.
            assert age is not None or not ages
            assert age is None or not ages or age >= ages[-1]
            ages.extend([] if age is None else [age])
            return bool(ages) and ages[-1] > 1.5

        with ExitStack() as lock:
            # What it stores its positions under is locked, so that it does not find its own.
            lock.enter_context(locked(store_url, f"{category}:position"))
            async with consumer.running():
                await eventually(has_held_it_for_long)
                assert (consumer.status().state, seen) == ("starting", [])
                lock.close()
                await consumer.wait_until_caught_up(timeout=10)
    assert seen == [0]

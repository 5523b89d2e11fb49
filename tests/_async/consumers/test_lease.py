"""The lease of a consumer, as others on the server see it."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from time import monotonic
from typing import Any

import psycopg

from messagedb import AsyncClient, AsyncConsumer, Message
from messagedb.testing import FaultProxy
from tests._async.consuming import record_numbers, write
from tests._async.load import COMMAND_TIMEOUT, FAST, status_of
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually
from tests.support.store import locked, terminate


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


MANY = 30


def leases_of(url: str, name: str) -> Counter[int]:
    """Return how many leases each server process of an application name holds."""
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(
            "select pid from pg_locks join pg_stat_activity using (pid) where granted"
            " and locktype = 'advisory' and objsubid = 2 and application_name = %s",
            [name],
        )
        return Counter(row[0] for row in cursor)


async def start_many(
    client: AsyncClient, category: str, **options: Any
) -> tuple[list[AsyncConsumer], list[list[int]], list[Background[None]]]:
    """Start consumers of one category in one client, each with its own identifier."""
    consumers = [
        AsyncConsumer(client, category, identifier=f"many{n}", **{**FAST, **options})
        for n in range(MANY)
    ]
    seen = [record_numbers(consumer) for consumer in consumers]
    runs = [Background(consumer.run) for consumer in consumers]
    await eventually(
        lambda: all(status_of(consumer).state == "caught up" for consumer in consumers), 20
    )
    return consumers, seen, runs


async def test_the_consumers_of_a_client_hold_their_leases_by_one_connection(
    store_url: str, database_url: str, category: str
) -> None:
    url = make_url(store_url, application_name=category)
    async with AsyncClient(url) as client:
        consumers, seen, runs = await start_many(client, category, lease_timeout=1.0)
        (pid,) = leases_of(database_url, category)
        assert leases_of(database_url, category)[pid] == MANY
        # One that stops releases its own lease only, and immediately another client has it.
        await consumers[0].stop()
        assert leases_of(database_url, category) == {pid: MANY - 1}
        async with AsyncClient(url) as other:
            successor = AsyncConsumer(other, category, identifier="many0")
            seen[0] = record_numbers(successor)
            async with successor.running():
                await successor.wait_until_caught_up(timeout=5)
                await write(client, f"{category}-1", 0, 3)
                for consumer in (successor, *consumers[1:]):
                    await consumer.wait_until_caught_up(timeout=5)
        assert leases_of(database_url, category) == {pid: MANY - 1}
        for consumer in consumers[1:]:
            await consumer.stop()
        for run in runs:
            await run.result()
        assert leases_of(database_url, category) == {}
    assert seen == [[0, 1, 2]] * MANY


async def test_consumers_that_lose_their_common_connection_all_go_on(
    store_url: str, database_url: str, category: str
) -> None:
    async with AsyncClient(make_url(store_url, application_name=category)) as client:
        consumers, seen, runs = await start_many(client, category, lease_timeout=1.0)
        (before,) = leases_of(database_url, category)
        assert terminate(database_url, [before]) == 1
        await eventually(lambda: sum(leases_of(database_url, category).values()) == MANY)
        (after,) = leases_of(database_url, category)
        assert after != before
        await write(client, f"{category}-1", 0, 3)
        for consumer in consumers:
            await consumer.wait_until_caught_up(timeout=5)
            await consumer.stop()
        for run in runs:
            await run.result()
    assert seen == [[0, 1, 2]] * MANY


async def test_many_consumers_stop_together_while_their_server_is_away(
    store_url: str, category: str
) -> None:
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.url, timeout=1.0, command_timeout=COMMAND_TIMEOUT) as client:
            consumers, _, runs = await start_many(client, category, lease_timeout=1.0)
            proxy.stall()
            await eventually(lambda: any(each.status().blocked_by for each in consumers), 20)
            begin = monotonic()
            stops = [Background(consumer.stop) for consumer in consumers]
            for stop in stops:
                await stop.result(30)
            for run in runs:
                await run.result()
            # Not one after the other: each of them would wait for its own connection.
            assert monotonic() - begin < MANY * 1.0 / 2


async def test_a_consumer_stops_in_time_when_its_server_falls_silent_during_a_report(
    store_url: str, database_url: str, category: str
) -> None:
    with FaultProxy(store_url) as proxy, psycopg.connect(database_url) as locking:
        async with AsyncClient(proxy.url, timeout=1.0, command_timeout=COMMAND_TIMEOUT) as client:
            consumer = AsyncConsumer(client, category, identifier="silenced", **FAST)
            record_numbers(consumer)
            locking.execute("LOCK TABLE messagedb.consumer_status")
            async with consumer.running():
                await consumer.wait_until_caught_up(timeout=10)
                await eventually(lambda: waits_for_table(database_url), 20)
                proxy.stall()
                await consumer.stop(timeout=10.0)
            assert status_of(consumer).state == "stopped"


def waits_for_table(url: str) -> bool:
    """Return True if a report waits for the lock of its table."""
    with psycopg.connect(url, autocommit=True) as conn:
        return bool(
            conn.execute(
                "select from pg_locks where not granted"
                " and relation = 'messagedb.consumer_status'::regclass"
            ).fetchall()
        )

"""The lease: who waits, who takes over, who stops, when its holder ends, is cut off or hangs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from functools import partial
from typing import Any

import psycopg
import pytest

from messagedb import AsyncClient, AsyncConsumer, IncompatibleServerError, PositionConflictError
from messagedb._consumers.position_stores import derive_lease_keys
from messagedb.testing import FaultProxy
from tests._async.consuming import record_numbers, saved, write
from tests._async.load import COMMAND_TIMEOUT, FAST, GOES_ON, status_of
from tests.support.background_async import Background, eventually
from tests.support.pgbouncer import PgBouncer
from tests.support.store import terminate

LEASE_TIMEOUT = 1.0
# The server ends the session, the waiting one looks, and takes over.
TAKES_OVER = LEASE_TIMEOUT + 1.0 + 1.0


@pytest.fixture
def proxy(store_url: str) -> Generator[FaultProxy]:
    """Return a proxy in front of the run's database."""
    with FaultProxy(store_url) as proxy:
        yield proxy


@pytest.fixture
async def through(proxy: FaultProxy) -> AsyncIterator[AsyncClient]:
    """Return a client that comes through the proxy."""
    async with AsyncClient(
        proxy.url, max_size=4, command_timeout=COMMAND_TIMEOUT, timeout=1.0
    ) as client:
        yield client


def make(client: AsyncClient, category: str, **options: Any) -> AsyncConsumer:
    """Make a consumer that shows a sign of life three times in a second."""
    chosen: dict[str, Any] = {**FAST, "lease_timeout": LEASE_TIMEOUT, **options}
    return AsyncConsumer(client, category, identifier="leased", **chosen)


def is_in(consumer: AsyncConsumer, *states: str) -> bool:
    """Return True if a consumer, which has not failed, is in one of these states."""
    return status_of(consumer).state in states


def holders(url: str, consumer: AsyncConsumer) -> list[int]:
    """Return the server processes that hold a consumer's lease."""
    high, low = (key & 0xFFFFFFFF for key in derive_lease_keys(f"message_store {consumer.name}"))
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(
            "select pid from pg_locks where locktype = 'advisory' and granted and objsubid = 2"
            " and classid::bigint = %s and objid::bigint = %s",
            [high, low],
        )
        return [row[0] for row in cursor]


async def test_the_second_waits_and_takes_over_when_the_first_stops(
    client: AsyncClient, category: str
) -> None:
    first, second = make(client, category), make(client, category)
    one, two = record_numbers(first), record_numbers(second)
    async with first.running():
        await write(client, f"{category}-1", 0, 5)
        await first.wait_until_caught_up(timeout=5.0)
        async with second.running():
            await eventually(partial(is_in, second, "waiting"))
            assert second.status().blocked_by == ("another consumer with this identifier runs",)
            await write(client, f"{category}-1", 5, 5)
            await first.wait_until_caught_up(timeout=5.0)
            assert is_in(second, "waiting")
            await first.stop()
            await write(client, f"{category}-1", 10, 5)
            await eventually(partial(is_in, second, "running", "caught up"), limit=TAKES_OVER)
            await second.wait_until_caught_up(timeout=5.0)
            assert second.status().blocked_by == ()
    assert (one, two) == (list(range(10)), list(range(10, 15)))


async def test_one_that_waits_can_be_stopped(client: AsyncClient, category: str) -> None:
    first, second = make(client, category), make(client, category)
    record_numbers(first)
    record_numbers(second)
    async with first.running():
        await eventually(partial(is_in, first, "caught up"))
        async with second.running():
            await eventually(partial(is_in, second, "waiting"))
            await second.stop(timeout=1.0)
        assert second.status().state == "stopped"


async def test_the_session_is_ended_and_the_same_consumer_holds_it_again(
    client: AsyncClient, database_url: str, category: str
) -> None:
    consumer = make(client, category)
    seen = record_numbers(consumer)
    async with consumer.running():
        await eventually(partial(is_in, consumer, "caught up"))
        (before,) = holders(database_url, consumer)
        assert terminate(database_url, [before]) == 1
        await eventually(lambda: holders(database_url, consumer), limit=TAKES_OVER)
        assert holders(database_url, consumer) != [before]
        await write(client, f"{category}-1", 0, 5)
        await consumer.wait_until_caught_up(timeout=5.0)
        assert consumer.status().blocked_by == ()
    assert seen == list(range(5))
    assert holders(database_url, consumer) == []


@pytest.mark.parametrize("how", ["terminated", "vanished", "silent"])
@pytest.mark.parametrize("transactional", [False, True])
async def test_a_first_that_is_cut_off_stops_when_it_comes_back(
    client: AsyncClient,
    through: AsyncClient,
    proxy: FaultProxy,
    database_url: str,
    category: str,
    how: str,
    transactional: bool,
) -> None:
    first = make(through, category, transactional=transactional)
    second = make(client, category, transactional=transactional)
    one, two = record_numbers(first), record_numbers(second)
    running = Background(first.run)
    await write(client, f"{category}-1", 0, 5)
    await eventually(lambda: one == list(range(5)))
    other = Background(second.run)
    await eventually(partial(is_in, second, "waiting"))
    if how == "silent":
        proxy.drop(new_connections=False)
    proxy.stall()
    if how == "terminated":
        assert terminate(database_url, holders(database_url, first)) == 1
    await eventually(
        partial(is_in, second, "running", "caught up"),
        limit=1.5 if how == "terminated" else TAKES_OVER,
    )
    positions = await write(client, f"{category}-1", 5, 5)
    # Until then a save of the first one that is on its way could come before its own.
    await eventually(lambda: status_of(second).stored_next_position == positions[-1] + 1)
    proxy.resume()
    with pytest.raises(PositionConflictError):
        await running.result(GOES_ON)
    assert first.status().state == "failed"
    await write(client, f"{category}-1", 10, 5)
    await second.wait_until_caught_up(timeout=5.0)
    await second.stop()
    await other.result()
    assert two[-10:] == list(range(5, 15))
    # Between its coming back and its stop it may have done some more, in vain.
    assert one == list(range(len(one)))
    stored = await saved(client, second)
    assert stored == sorted(set(stored))
    assert stored[-1] > positions[-1]


async def test_without_a_lease_the_second_to_store_a_position_stops(
    client: AsyncClient, category: str
) -> None:
    first = make(client, category, lease_timeout=None)
    second = make(client, category, lease_timeout=None)
    for consumer in (first, second):
        record_numbers(consumer)
    runs = [Background(consumer.run) for consumer in (first, second)]
    for consumer in (first, second):
        await eventually(partial(is_in, consumer, "caught up"))
    await write(client, f"{category}-1", 0, 1)
    await eventually(lambda: any(run.ended for run in runs))
    lost = next(n for n, run in enumerate(runs) if run.ended)
    with pytest.raises(PositionConflictError, match="another consumer saves its position"):
        await runs[lost].result()
    kept = (second, first)[lost]
    await kept.wait_until_caught_up(timeout=5.0)
    await kept.stop()
    await runs[1 - lost].result()
    assert len(await saved(client, kept)) == 1


async def test_a_lease_behind_a_transaction_pooler(
    pgbouncer: PgBouncer, client: AsyncClient, database_url: str, category: str
) -> None:
    async with AsyncClient(pgbouncer.url("pair"), max_size=2) as pooled:
        first, second = make(pooled, category), make(client, category)
        one, two = record_numbers(first), record_numbers(second)
        async with second.running():
            await eventually(partial(is_in, second, "caught up"))
            async with first.running():
                await eventually(partial(is_in, first, "waiting"))
                await write(client, f"{category}-1", 0, 5)
                await second.wait_until_caught_up(timeout=5.0)
                await second.stop()
                await eventually(partial(is_in, first, "caught up"), limit=TAKES_OVER)
                assert len(holders(database_url, first)) == 1
                await write(client, f"{category}-1", 5, 5)
                await first.wait_until_caught_up(timeout=5.0)
        assert (one, two) == (list(range(5, 10)), list(range(5)))
        # Nothing of it is left with the pooler's connection to the server.
        await eventually(lambda: holders(database_url, first) == [])


async def test_notifications_behind_a_transaction_pooler_are_refused(
    pgbouncer: PgBouncer, category: str
) -> None:
    async with AsyncClient(pgbouncer.url("pair"), max_size=2) as pooled:
        consumer = make(pooled, category, notify=True)
        record_numbers(consumer)
        with pytest.raises(IncompatibleServerError, match="a pooler in transaction mode does not"):
            await consumer.run()
        assert consumer.status().state == "failed"


async def test_one_whose_lag_is_being_measured_by_a_silent_server_stops_in_time(
    through: AsyncClient, proxy: FaultProxy, category: str
) -> None:
    # Nothing but the lag and the lease is on its way at the stop, as no message is looked for.
    consumer = make(through, category, poll_interval=60.0, position_update_interval=1)
    record_numbers(consumer)
    (position,) = await write(through, f"{category}-1", 0, 1)
    running = Background(consumer.run)
    await eventually(lambda: status_of(consumer).stored_next_position == position + 1)
    proxy.stall_at("after_request", "clock_timestamp() AT TIME ZONE")
    await eventually(lambda: proxy.injected)
    await consumer.stop(timeout=8.0)
    await running.result()
    assert consumer.status().state == "stopped"
    proxy.resume()

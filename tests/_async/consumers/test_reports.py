"""Reports of consumers to other processes: which message, which attempt, which error, who."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any

import psycopg
import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    Message,
    RetryPolicy,
    TablePositionStore,
)
from messagedb.consumers import NO_RETRY, ConsumerInfo
from messagedb.errors import HandlerError
from tests._async.consuming import Trouble, record_numbers, write
from tests._async.load import FAST
from tests._async.reporting import has_in_flight, is_failing, report_of, see
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually
from tests.support.store import functions_only

PATIENT = RetryPolicy(max_attempts=100, delay=0.2, multiplier=1.0)
ME = (socket.gethostname(), os.getpid())


class Gate:
    """A handler that waits at the message of number 0 until it is opened."""

    def __init__(self, consumer: AsyncConsumer) -> None:
        self.is_open = False
        self.seen: list[int] = []
        consumer.handler(self._handle)

    async def _handle(self, message: Message[Any]) -> None:
        self.seen.append(message.data["n"])
        if message.data["n"] == 0:
            await eventually(lambda: self.is_open, 60)

    @asynccontextmanager
    async def closed(self) -> AsyncGenerator[None]:
        """Open it at the end of a block."""
        try:
            yield
        finally:
            self.is_open = True


async def test_a_message_that_fails_is_seen_with_its_attempt_and_its_error(
    client: AsyncClient, category: str
) -> None:
    positions = await write(client, f"{category}-1", 0, 3)
    consumer = AsyncConsumer(client, category, identifier="mail", retry=PATIENT, **FAST)
    trouble = Trouble(ValueError("no such address"))
    consumer.handler(trouble.handle)
    async with consumer.running():
        found = await see(client, category, is_failing)
        report, failure = report_of(found), report_of(found).last_failure
        assert failure is not None
        assert (failure.stream_name, failure.position) == (f"{category}-1", 1)
        assert (failure.global_position, failure.type) == (positions[1], "Noted")
        assert failure.error == "ValueError: no such address"
        assert failure.attempt >= 1
        assert report.in_flight is not None
        assert (report.in_flight.stream_name, report.in_flight.position) == (f"{category}-1", 1)
        assert report.in_flight.since <= failure.failed_at <= report.reported_at
        assert (report.host, report.pid, report.has_lease) == (*ME, True)
        assert report.started_at <= report.reported_at
        assert (found.state, found.is_running) == ("retrying", True)
        assert report.next_position == positions[1]
        # Later attempts of the same message; it has failed since the first one.
        later = report_of(await see(client, category, lambda each: has_attempt(each, 3)))
        assert later.in_flight is not None
        assert later.in_flight.since == report.in_flight.since
        trouble.times = 0


def has_attempt(consumer: ConsumerInfo, number: int) -> bool:
    failure = report_of(consumer).last_failure
    return failure is not None and failure.attempt >= number


async def test_a_handler_that_hangs_is_seen(client: AsyncClient, category: str) -> None:
    await write(client, f"{category}-1", 0, 1)
    consumer = AsyncConsumer(client, category, identifier="mail", **FAST)
    gate = Gate(consumer)
    async with consumer.running(stop_timeout=30), gate.closed():
        first = report_of(await see(client, category, has_in_flight)).in_flight
        assert first is not None
        assert (first.position, first.attempt) == (0, 1)
        # It stays the same message, since the same time.
        found = await see(client, category, lambda each: is_later(each, first.since))
        assert report_of(found).in_flight == first


def is_later(consumer: ConsumerInfo, time: datetime) -> bool:
    return report_of(consumer).reported_at > time


async def test_the_first_of_several_messages_in_flight_is_seen(
    client: AsyncClient, category: str
) -> None:
    await write(client, f"{category}-1", 0, 1)
    for n in range(1, 6):
        await write(client, f"{category}-{n + 1}", n, 1)
    consumer = AsyncConsumer(client, category, identifier="mail", concurrency=2, **FAST)
    gate = Gate(consumer)
    async with consumer.running(stop_timeout=30), gate.closed():
        await eventually(lambda: len(gate.seen) == 6)
        found = await see(client, category, has_in_flight)
        assert report_of(found).in_flight is not None
        assert report_of(found).in_flight.stream_name == f"{category}-1"  # type: ignore[union-attr]
        assert consumer.status().current_message == (f"{category}-1", 0, 1)


async def test_a_pool_of_one_connection_that_a_handler_holds(
    store_url: str, client: AsyncClient, category: str
) -> None:
    await write(client, f"{category}-1", 0, 1)
    is_open = False
    async with AsyncClient(store_url, max_size=1) as small:
        consumer = AsyncConsumer(small, category, identifier="mail", transactional=True, **FAST)

        @consumer.handler
        async def hang(message: Message[Any], context: AsyncContext) -> None:
            await eventually(lambda: is_open, 60)

        async with consumer.running(stop_timeout=30):
            try:
                found = await see(client, category, has_in_flight)
                assert found.state == "running"
            finally:
                is_open = True


async def test_one_that_starts_while_the_list_is_read_is_not_said_to_have_died(
    client: AsyncClient, database_url: str, category: str
) -> None:
    consumer = AsyncConsumer(client, category, identifier="mail", **FAST)
    record_numbers(consumer)
    waiting = (
        "SELECT 1 FROM pg_locks WHERE relation = 'messagedb.positions'::regclass AND NOT granted"
    )
    reported = "SELECT 1 FROM messagedb.consumer_status WHERE consumer = %s"
    with psycopg.connect(database_url) as lock, psycopg.connect(database_url) as looking:
        looking.autocommit = True
        lock.execute("LOCK TABLE messagedb.positions")
        # It has asked who holds the leases, and waits for the positions.
        listing = Background(client.list_consumers, category)
        await eventually(lambda: looking.execute(waiting).fetchone())
        async with consumer.running():
            await eventually(lambda: looking.execute(reported, (consumer.name,)).fetchone())
            lock.rollback()
            (found,) = await listing.result()
    assert report_of(found).has_lease
    assert (found.is_running, found.state in ("running", "caught up")) == (True, True)


async def test_a_consumer_is_listed_before_it_has_stored_a_position(
    client: AsyncClient, category: str
) -> None:
    consumer = AsyncConsumer(
        client, category, identifier="mail", position_store=TablePositionStore("own"), **FAST
    )
    record_numbers(consumer)
    async with consumer.running():
        found = await see(client, category, lambda each: each.state == "caught up")
        assert (found.name, found.identifier, found.next_position) == ("own", "mail", None)
        assert (found.position_store, found.lag_messages) == ("table", 0)
        assert report_of(found).next_position == 1
    (found,) = await client.list_consumers(category)
    assert (found.state, found.is_running) == ("stopped", False)


async def test_the_failure_that_ended_a_run_is_seen_after_it_and_in_the_next_run(
    client: AsyncClient, category: str
) -> None:
    await write(client, f"{category}-1", 1, 1)
    consumer = AsyncConsumer(client, category, identifier="mail", retry=NO_RETRY, **FAST)
    trouble = Trouble(ValueError("x" * 3000), 1)
    consumer.handler(trouble.handle)
    with pytest.raises(HandlerError):
        await consumer.run(until="caught_up")
    (found,) = await client.list_consumers(category)
    assert (found.state, found.is_running) == ("failed", False)
    failure = report_of(found).last_failure
    assert failure is not None
    assert (len(failure.error), failure.error[:20], failure.error[-2:]) == (
        500,
        "ValueError: xxxxxxxx",
        "x…",
    )
    await consumer.run(until="caught_up")
    (found,) = await client.list_consumers(category)
    assert found.state == "stopped"
    assert report_of(found).last_failure == failure


async def test_a_parked_message_is_seen_as_a_failure(client: AsyncClient, category: str) -> None:
    await write(client, f"{category}-1", 0, 3)
    consumer = AsyncConsumer(
        client, category, identifier="mail", retry=NO_RETRY, on_error="park", **FAST
    )
    consumer.handler(Trouble(ValueError("no such address"), 1).handle)
    await consumer.run(until="caught_up")
    (found,) = await client.list_consumers(category)
    failure = report_of(found).last_failure
    assert failure is not None
    assert (failure.position, failure.attempt, found.parked_count) == (1, 1, 1)
    assert report_of(found).in_flight is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("revoke insert on messagedb.consumer_status from message_store", "may not write"),
        ("revoke usage on schema messagedb from message_store", "may not write"),
        ("drop table messagedb.consumer_status", "schema.upgrade()"),
    ],
)
async def test_a_consumer_that_cannot_report_consumes(
    new_database: Callable[..., str],
    category: str,
    caplog: pytest.LogCaptureFixture,
    change: str,
    reason: str,
) -> None:
    owner = new_database()
    caplog.set_level(logging.INFO, "messagedb.consumer")
    with psycopg.connect(owner) as conn:
        conn.execute(change.encode())
    async with AsyncClient(make_url(owner, user="message_store")) as client:
        await write(client, f"{category}-1", 0, 3)
        for _ in range(2):
            consumer = AsyncConsumer(client, category, identifier="mail", start=1, **FAST)
            seen = record_numbers(consumer)
            await consumer.run(until="caught_up")
            assert seen == [0, 1, 2]
        (found,) = await client.list_consumers()
        assert (found.report, found.state) == (None, "not ours")
    lines = [each.getMessage() for each in caplog.records if "consumer_status" in each.getMessage()]
    assert len(lines) == 1
    assert reason in lines[0]


async def test_a_role_that_sees_no_messages_reports(
    new_database: Callable[..., str], category: str
) -> None:
    owner = new_database()
    functions_only(owner)
    async with (
        AsyncClient(make_url(owner, user="message_store")) as client,
        AsyncClient(owner) as other,
    ):
        await write(client, f"{category}-1", 1, 1)
        consumer = AsyncConsumer(client, category, identifier="mail", **FAST)
        trouble = Trouble(ValueError("no such address"))
        consumer.handler(trouble.handle)
        async with consumer.running():
            found = await see(other, category, is_failing)
            assert found.state == "retrying"
            trouble.times = 0


async def test_consumers_of_one_client_report_together(store_url: str, category: str) -> None:
    def count_transactions() -> tuple[int, int]:
        with psycopg.connect(store_url, autocommit=True) as conn:
            rows = conn.execute(
                "select count(*), count(distinct xmin::text) from messagedb.consumer_status"
                " where category like %s",
                [f"{category}%"],
            ).fetchall()
        return rows[0]

    async with AsyncClient(store_url) as client, AsyncExitStack() as stack:
        for n in range(30):
            consumer = AsyncConsumer(client, f"{category}x{n}", identifier="mail", **FAST)
            record_numbers(consumer)
            await stack.enter_async_context(consumer.running())
        await eventually(lambda: count_transactions() == (30, 1), 10)


async def test_a_stop_is_reported_although_another_run_waits(
    client: AsyncClient, category: str
) -> None:
    """The one that waits for the lease says nothing, and takes the row over with the lease."""
    consumers = [AsyncConsumer(client, category, identifier="mail", **FAST) for _ in range(2)]
    for consumer in consumers:
        record_numbers(consumer)
    async with consumers[0].running():
        first = report_of(await see(client, category, lambda each: each.report is not None))
        waiting = Background(consumers[1].run)
        await eventually(lambda: consumers[1].status().state == "waiting")
        later = await see(client, category, lambda each: is_later(each, first.reported_at))
        assert report_of(later).started_at == first.started_at
    found = await see(
        client, category, lambda each: is_running_since(each, first.started_at), limit=10
    )
    assert found.is_running
    await consumers[1].stop()
    await waiting.result()


def is_running_since(consumer: ConsumerInfo, time: datetime) -> bool:
    report = report_of(consumer)
    return report.started_at > time and not report.has_ended

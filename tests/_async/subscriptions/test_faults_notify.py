"""Notifications wake a consumer, and the poll does it where they do not come."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import psycopg
import pytest

from messagedb import AsyncClient, AsyncConsumer, IncompatibleServerError, schema
from messagedb.consumers import ConsumerStatus
from messagedb.testing import FaultProxy
from tests._async.consuming import record_numbers, write
from tests._async.load import COMMAND_TIMEOUT, GOES_ON, status_of
from tests.support.backend import make_url
from tests.support.background_async import eventually
from tests.support.store import terminate

# Nothing that comes within a second is found by such a poll.
NEVER = 30.0
SOON = 1.0


@pytest.fixture(scope="module")
def owner_url(new_database: Callable[..., str]) -> str:
    """Return its owner's URL of a database whose trigger the tests install and remove."""
    return new_database()


@pytest.fixture
async def writer(owner_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client that writes there, with the trigger in place."""
    await schema.install_notify_async(owner_url)
    async with AsyncClient(make_url(owner_url, user="message_store")) as client:
        yield client


def make(client: AsyncClient, category: str, poll: float = NEVER) -> AsyncConsumer:
    """Make a consumer that listens, and looks by itself after so many seconds only."""
    return AsyncConsumer(client, category, notify=True, poll_interval=poll, idle_poll_interval=poll)


def listening(url: str, name: str) -> list[int]:
    """Return the server processes that listen under an application's name."""
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(
            "select pid from pg_stat_activity"
            " where application_name = %s and query like 'LISTEN %%'",
            [name],
        )
        return [row[0] for row in cursor]


def is_idle(consumer: AsyncConsumer) -> bool:
    """Return True if a consumer, which has not failed, waits for messages."""
    return status_of(consumer).state == "caught up"


async def arrive(
    writer: AsyncClient, consumer: AsyncConsumer, stream: str, seen: list[int], limit: float
) -> float:
    """Write a message while the consumer is idle, and return the seconds until it is handled."""
    await eventually(partial(is_idle, consumer))
    count = len(seen)
    begin = time.monotonic()
    await write(writer, stream, count, 1)
    await eventually(lambda: len(seen) > count, limit=limit)
    return time.monotonic() - begin


async def test_a_message_wakes_the_consumer(writer: AsyncClient, category: str) -> None:
    consumer = make(writer, category)
    seen = record_numbers(consumer)
    async with consumer.running():
        for _ in range(5):
            assert await arrive(writer, consumer, f"{category}-1", seen, SOON) < SOON
        # Those of others do not.
        measured: ConsumerStatus = status_of(consumer)
        await write(writer, f"{category}Other-1", 0, 5)
        assert await arrive(writer, consumer, f"{category}-1", seen, SOON) < SOON
        assert status_of(consumer).handled_count == measured.handled_count + 1
    assert seen == list(range(6))


async def test_without_the_trigger_it_is_refused_with_the_cure(
    writer: AsyncClient, owner_url: str, category: str
) -> None:
    assert await schema.remove_notify_async(owner_url)
    consumer = make(writer, category)
    seen = record_numbers(consumer)
    for _ in range(2):
        with pytest.raises(IncompatibleServerError, match=r"messagedb\.schema\.install_notify\(\)"):
            await consumer.run()
        assert consumer.status().state == "failed"
    assert await schema.install_notify_async(owner_url)
    async with consumer.running():
        await arrive(writer, consumer, f"{category}-1", seen, SOON)
    assert seen == [0]


async def test_the_trigger_goes_and_the_poll_remains(
    writer: AsyncClient, owner_url: str, category: str
) -> None:
    consumer = make(writer, category, poll=0.3)
    seen = record_numbers(consumer)
    async with consumer.running():
        await arrive(writer, consumer, f"{category}-1", seen, SOON)
        assert await schema.remove_notify_async(owner_url)
        for _ in range(2):
            await arrive(writer, consumer, f"{category}-1", seen, 2 * SOON)
    assert seen == list(range(3))


async def test_the_session_that_listens_is_ended_and_it_listens_again(
    writer: AsyncClient, owner_url: str, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "messagedb.consumer")
    url = make_url(owner_url, user="message_store", application_name=category)
    async with AsyncClient(url) as client:
        consumer = make(client, category)
        seen = record_numbers(consumer)
        async with consumer.running():
            for _ in range(3):
                await arrive(writer, consumer, f"{category}-1", seen, SOON)
                before = listening(owner_url, category)
                assert terminate(owner_url, before) == len(before) == 1
                # What comes before it listens again is looked for then.
                await write(writer, f"{category}-1", len(seen), 1)
                await eventually(lambda: seen == list(range(len(seen))) and len(seen) % 2 == 0)
                await eventually(lambda: len(listening(owner_url, category)) == 1)
            assert await arrive(writer, consumer, f"{category}-1", seen, SOON) < SOON
    assert seen == list(range(7))
    texts = [record.getMessage() for record in caplog.records]
    assert sum("no notifications come, it polls" in text for text in texts) == 3
    assert sum("notifications come again" in text for text in texts) == 3


async def test_it_polls_while_nobody_can_listen(
    writer: AsyncClient, owner_url: str, category: str
) -> None:
    url = make_url(owner_url, user="message_store", application_name=category)
    async with AsyncClient(url) as client:
        consumer = make(client, category, poll=0.1)
        seen = record_numbers(consumer)
        async with consumer.running():
            await arrive(writer, consumer, f"{category}-1", seen, SOON)
            # As the trigger is gone, it may not listen either: it would wait in vain.
            assert await schema.remove_notify_async(owner_url)
            assert terminate(owner_url, listening(owner_url, category)) == 1
            for _ in range(3):
                await arrive(writer, consumer, f"{category}-1", seen, SOON)
            assert listening(owner_url, category) == []
            assert await schema.install_notify_async(owner_url)
            await eventually(lambda: listening(owner_url, category), limit=GOES_ON)
    assert seen == list(range(4))


async def test_the_network_stalls_and_it_listens_again(
    writer: AsyncClient, owner_url: str, category: str
) -> None:
    url = make_url(owner_url, user="message_store", application_name=category)
    with FaultProxy(url) as proxy:
        url = make_url(proxy.url, application_name=category)
        async with AsyncClient(url, command_timeout=COMMAND_TIMEOUT, timeout=1.0) as client:
            consumer = make(client, category, poll=0.1)
            seen = record_numbers(consumer)
            async with consumer.running():
                await arrive(writer, consumer, f"{category}-1", seen, SOON)
                proxy.stall()
                await write(writer, f"{category}-1", 1, 3)
                await eventually(lambda: status_of(consumer).state == "reconnecting")
                proxy.cut()
                proxy.resume()
                await eventually(lambda: len(seen) == 4, limit=GOES_ON)
                await eventually(lambda: listening(owner_url, category), limit=GOES_ON)
                await arrive(writer, consumer, f"{category}-1", seen, SOON)
    assert seen == list(range(5))

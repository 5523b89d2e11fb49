"""The outbox of examples/outbox, with brokers and publishers that are killed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from examples.outbox import (
    nats_async,
    outbox_async,
    outbox_sync,
    rabbitmq_async,
    rabbitmq_sync,
    redis_async,
    redis_sync,
)
from messagedb import AsyncClient, Client, Message, NewMessage
from tests.recipes.broker_readers import NatsReader, RabbitMQReader, Reader, RedisReader
from tests.support.background_async import eventually
from tests.support.brokers import Broker, Nats, NoBrokerError, RabbitMQ, Redis
from tests.support.relay import Relay

ROOT = Path(__file__).parents[2]
EACH = 10
PATIENCE = 120.0  # RabbitMQ takes six seconds of a core to start

# A publisher that stores its position only when it ends in peace.
PROGRAM = """\
import asyncio, sys
from examples.outbox import {module} as publishers, outbox_async
from messagedb import AsyncClient

async def main(store, broker, category):
    async with AsyncClient(store) as client:
        publisher = publishers.{publisher}(broker)
        outbox = outbox_async.create_outbox(client, publisher, category=category, save_every=10**5)
        await outbox.run()

asyncio.run(main(*sys.argv[1:]))
"""


class Case(NamedTuple):
    """A broker, its publishers and reader, and how often it has what is published twice."""

    broker: Callable[[], Broker]
    reader: Callable[[str], Reader]
    with_asyncio: type[rabbitmq_async.RabbitMQ | nats_async.Nats | redis_async.Redis]
    with_threads: Callable[[str], outbox_sync.Publisher] | None
    repeated: int


CASES = {
    "rabbitmq": Case(RabbitMQ, RabbitMQReader, rabbitmq_async.RabbitMQ, rabbitmq_sync.RabbitMQ, 2),
    "nats": Case(Nats, NatsReader, nats_async.Nats, None, 1),
    "redis": Case(Redis, RedisReader, redis_async.Redis, redis_sync.Redis, 1),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[str(request.param)]


@pytest.fixture
def broker(case: Case) -> Iterator[Broker]:
    """Return the broker, which is not started yet."""
    try:
        made = case.broker()
    except NoBrokerError as error:
        pytest.fail(f"a broker is missing: {error}", pytrace=False)
    yield made
    made.close()


async def test_no_message_is_missing_after_kills_of_the_broker_and_of_the_publisher(
    case: Case,
    broker: Broker,
    new_database: Any,
    category: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("ERROR", "messagedb.consumer")  # until the test ends: others read the log
    store = new_database()
    reader = case.reader(broker.url)
    categories = category, f"{category}Other"
    used = categories if case.with_threads else categories[:1]
    async with AsyncClient(store) as client:
        first = await write(client, category)
        with publisher_process(case, store, broker.url, category) as process:
            await asyncio.to_thread(broker.start)
            await reader.prepare()
            await has(reader, EACH)
            process.kill()

        async with running(case, client, store, broker.url, categories) as outboxes:
            second = await write(client, *used)
            for outbox in outboxes:
                await outbox.wait_until_caught_up()
            await asyncio.to_thread(broker.kill)
            third = await write(client, *used)
            await eventually(lambda: all(each.state() == "retrying" for each in outboxes), PATIENCE)
            await asyncio.to_thread(broker.start)
            for outbox in outboxes:
                await outbox.wait_until_caught_up()
        found = await reader.read()

    counts = Counter(id for id, _ in found)
    assert {event["id"] for _, event in found} == set(counts) == first | second | third
    assert {counts[id] for id in first} == {case.repeated}
    assert {counts[id] for id in second} == {1}
    assert all(id == event["id"] and event["specversion"] == "1.0" for id, event in found)


async def test_a_publisher_goes_on_after_its_connections_are_cut(
    case: Case, broker: Broker, new_database: Any, category: str
) -> None:
    async with AsyncClient(new_database()) as client:
        await write(client, category)
        message = (await client.get_stream_messages(f"{category}-1"))[0]
    await asyncio.to_thread(broker.start)
    await case.reader(broker.url).prepare()
    port = urlsplit(broker.url).port
    assert port is not None
    with Relay(port) as relay:
        url = broker.url.replace(f":{port}", f":{relay.port}")
        first = case.with_asyncio(url)
        await goes_on(first.publish, message, relay)
        await first.close()
        if case.with_threads is not None:
            second = case.with_threads(url)
            await goes_on(lambda each: asyncio.to_thread(second.publish, each), message, relay)
            second.close()


async def goes_on(
    publish: Callable[[Message[Any]], Awaitable[None]], message: Message[Any], relay: Relay
) -> None:
    """Publish, cut, and publish until it works again."""
    await publish(message)
    assert relay.cut() >= 1
    for _ in range(10):
        with suppress(Exception):  # each library has errors that are its own; the last one is shown
            await publish(message)
            return
    await publish(message)


@dataclass
class Running:
    """An outbox of either variant that runs beside the test."""

    state: Callable[[], str]
    wait_until_caught_up: Callable[[], Awaitable[None]]


@contextmanager
def publisher_process(
    case: Case, store: str, url: str, category: str
) -> Generator[subprocess.Popen[bytes]]:
    """Run an outbox in a process."""
    publisher = case.with_asyncio
    module = publisher.__module__.rpartition(".")[2]
    program = PROGRAM.format(module=module, publisher=publisher.__name__)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, store, url, category]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def running(
    case: Case, client: AsyncClient, store: str, url: str, categories: tuple[str, str]
) -> AsyncGenerator[list[Running]]:
    """Run an outbox of each variant, each of a category."""
    async with AsyncExitStack() as stack:
        first = case.with_asyncio(url)
        stack.push_async_callback(first.close)
        with_asyncio = outbox_async.create_outbox(client, first, category=categories[0])
        await stack.enter_async_context(with_asyncio.running())
        outboxes = [
            Running(
                lambda: with_asyncio.status().state,
                lambda: with_asyncio.wait_until_caught_up(timeout=PATIENCE),
            )
        ]
        if case.with_threads is not None:
            second = case.with_threads(url)
            stack.callback(second.close)
            threads_client = stack.enter_context(Client(store))
            with_threads = outbox_sync.create_outbox(threads_client, second, category=categories[1])
            stack.enter_context(with_threads.running())
            outboxes.append(
                Running(
                    lambda: with_threads.status().state,
                    lambda: asyncio.to_thread(with_threads.wait_until_caught_up, timeout=PATIENCE),
                )
            )
        yield outboxes


async def write(client: AsyncClient, *categories: str) -> set[str]:
    """Write messages to a stream of each category, and return their ids."""
    ids: set[str] = set()
    for category in categories:
        messages = [NewMessage("Placed", {"number": number}) for number in range(EACH)]
        await client.write_messages(f"{category}-1", messages)
        ids |= {str(message.id) for message in messages}
    return ids


async def has(reader: Reader, count: int) -> None:
    """Wait until the broker has so many messages."""
    until = time.monotonic() + PATIENCE
    while await reader.count() < count:
        assert time.monotonic() < until, f"the broker does not have {count} messages"
        await asyncio.sleep(0.02)

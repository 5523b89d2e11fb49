"""Consumers go on by themselves when server or network fail, and lose and double nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from messagedb import AsyncClient, AsyncConsumer, schema
from messagedb._concurrency.backend_async import run_blocking
from messagedb.errors import EmbeddedServerError
from messagedb.testing import FaultProxy
from tests._async.consuming import saved
from tests._async.load import (
    COMMAND_TIMEOUT,
    FAST,
    GOES_ON,
    Load,
    Numbers,
    copy,
    handled,
    have_gone_on,
    note,
    numbers_of,
    status_of,
)
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually, sleep
from tests.support.server import OwnServer
from tests.support.store import pids, terminate

RESTARTS = 10
TERMINATIONS = 8


@pytest.fixture
def server() -> Iterator[OwnServer]:
    """Return a durable server with our schema."""
    try:
        server = OwnServer()
    except EmbeddedServerError as error:
        pytest.skip(f"no programs to run a server of the test's own: {error}")
    schema.install(server.url())
    yield server
    server.close()


class Consumers:
    """Two consumers of one category: one takes note, the other copies in transactions."""

    def __init__(self, client: AsyncClient, category: str, **options: Any) -> None:
        chosen: dict[str, Any] = {**FAST, **options}
        self.copies = f"{category}Copy"
        self.noting = AsyncConsumer(client, category, identifier="noting", **chosen)
        self.copying = AsyncConsumer(
            client, category, identifier="copying", transactional=True, **chosen
        )
        self.all = [self.noting, self.copying]
        self.seen: Numbers = note(self.noting)
        copy(self.copying, self.copies)

    async def go_on(self, limit: float = GOES_ON) -> None:
        """Wait until both have handled some more."""
        await eventually(partial(have_gone_on, self.all, handled(self.all)), limit=limit)


@asynccontextmanager
async def under_load(
    consumers: Consumers, writer: AsyncClient, category: str, pause: float = 0.005
) -> AsyncGenerator[None]:
    """Run the consumers under load while a block runs, and then see what they have done."""
    load = Load(writer, category, pause)
    async with consumers.noting.running(), consumers.copying.running():
        writing = Background(load.run)
        try:
            await consumers.go_on()
            yield
        finally:
            load.stop = True
        await writing.result()
        for consumer in consumers.all:
            await consumer.wait_until_caught_up(timeout=30.0)
    assert consumers.seen == load.written
    assert await numbers_of(writer, consumers.copies) == load.written
    positions = [
        m.global_position for m in await writer.get_category_messages(category, batch_size=-1)
    ]
    assert await saved(writer, consumers.copying) == positions
    noted = await saved(writer, consumers.noting)
    assert noted == sorted(set(noted))
    assert noted[-1] == positions[-1]


def is_away(consumer: AsyncConsumer) -> bool:
    """Return True if a consumer says that the store is unavailable."""
    return status_of(consumer).state == "reconnecting"


def is_back(consumer: AsyncConsumer) -> bool:
    """Return True if it does not."""
    return not is_away(consumer)


# How a consumer's log begins and ends an outage. On busy cores the connections of the pool may come
# later than the network: then that is said, too, before the end.
BEGINNINGS = ("the store is unavailable", "no connection of the pool is free")
ENDS = ("the store is available again", "a connection is free again")


def says_each_outage_once(caplog: pytest.LogCaptureFixture, consumer: AsyncConsumer) -> bool:
    """Return True if the consumer logged each time the store was unavailable once, and its end.

    A stall may be two such times: of a new connection, and then of one that the pool still had.
    """
    texts = [record.getMessage().removeprefix(f"{consumer.name}: ") for record in caplog.records]
    said = [kind for text in texts for kind in (*BEGINNINGS, *ENDS) if text.startswith(kind)]
    outages: list[list[str]] = [[]]
    for kind in said:
        outages[-1].append(kind)
        if kind in ENDS:
            outages.append([])
    *ended, open_one = outages
    return (
        len(ended) in (1, 2)
        and not open_one
        and all(len(set(outage)) == len(outage) > 1 for outage in ended)
    )


async def test_the_server_is_stopped_and_started(server: OwnServer, category: str) -> None:
    url = server.url(user="message_store")
    async with AsyncClient(url, max_size=6, command_timeout=COMMAND_TIMEOUT, timeout=1.0) as client:
        consumers = Consumers(client, category)
        async with under_load(consumers, client, category):
            for restart in range(RESTARTS):
                await run_blocking(server.stop, at_once=restart % 2 == 1)
                await run_blocking(server.start)
                await consumers.go_on()


@pytest.mark.parametrize(("seconds", "lease_timeout"), [(3.0, 1.0), (30.0, 10.0)])
async def test_the_network_stalls(
    client: AsyncClient,
    store_url: str,
    category: str,
    caplog: pytest.LogCaptureFixture,
    seconds: float,
    lease_timeout: float,
) -> None:
    caplog.set_level("INFO", "messagedb.consumer")
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(
            proxy.url, max_size=6, command_timeout=COMMAND_TIMEOUT, timeout=1.0
        ) as stalled:
            consumers = Consumers(stalled, category, lease_timeout=lease_timeout)
            # Not more during a long stall than is handled soon after it.
            async with under_load(consumers, client, category, pause=seconds / 300):
                proxy.stall()
                stall = Background(sleep, seconds)
                for consumer in consumers.all:
                    await eventually(partial(is_away, consumer))
                before = handled(consumers.all)
                await stall.result(seconds + 5.0)
                assert handled(consumers.all) == before
                proxy.resume()
                await consumers.go_on()
                for consumer in consumers.all:
                    await eventually(partial(is_back, consumer))
                    await eventually(partial(says_each_outage_once, caplog, consumer))


async def test_the_way_to_the_server_is_lost(
    client: AsyncClient, store_url: str, category: str
) -> None:
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(
            proxy.url, max_size=6, command_timeout=COMMAND_TIMEOUT, timeout=1.0
        ) as silenced:
            # The server keeps the locks of an abandoned transaction for that long.
            consumers = Consumers(silenced, category, transaction_timeout=COMMAND_TIMEOUT)
            async with under_load(consumers, client, category):
                for _ in range(2):
                    proxy.drop(new_connections=False)
                    await consumers.go_on()


async def test_all_sessions_are_ended_again_and_again(
    client: AsyncClient, store_url: str, database_url: str, category: str
) -> None:
    url = make_url(store_url, application_name=category)
    async with AsyncClient(url, max_size=6, command_timeout=COMMAND_TIMEOUT) as ended:
        consumers = Consumers(ended, category)
        async with under_load(consumers, client, category):
            for _ in range(TERMINATIONS):
                assert terminate(database_url, pids(database_url, category)) > 2
                await consumers.go_on()

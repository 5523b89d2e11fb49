"""Consumers of one client that wait for messages: they look for them together, and miss none."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any

import psycopg
import pytest

from messagedb import AsyncAllConsumer, AsyncClient, AsyncConsumer, NewMessage
from messagedb.testing import FaultProxy
from tests._async.consuming import record_numbers, write
from tests._async.load import COMMAND_TIMEOUT, FAST, GOES_ON, status_of
from tests.conftest import NewDatabase
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually
from tests.support.store import functions_only, pids, terminate

SEVERAL = 8
OPTIONS: dict[str, Any] = {**FAST, "lease_timeout": None}


class Waiting:
    """Running consumers, each of its own category.

    Attributes:
        consumers: all of them.
        seen: the numbers that each has handled.
    """

    def __init__(self, client: AsyncClient, category: str, count: int = SEVERAL) -> None:
        self.consumers = [
            AsyncConsumer(client, f"{category}x{n}", identifier="idle", **OPTIONS)
            for n in range(count)
        ]
        self.seen = [record_numbers(consumer) for consumer in self.consumers]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run them, and begin when all have nothing to do."""
        async with AsyncExitStack() as stack:
            for consumer in self.consumers:
                await stack.enter_async_context(consumer.running())
            await eventually(self.are_idle, 20)
            yield

    def are_idle(self) -> bool:
        return all(status_of(consumer).state == "caught up" for consumer in self.consumers)


async def next_looks(consumers: list[AsyncConsumer], count: int) -> None:
    """Wait until so many looks for each consumer have found nothing."""
    for _ in range(count):
        await eventually(partial(has_changed, consumers, times(consumers)), GOES_ON)


def times(consumers: list[AsyncConsumer]) -> list[datetime | None]:
    """Return when each consumer was looked for the last time."""
    return [consumer.status().measured_at for consumer in consumers]


def has_changed(consumers: list[AsyncConsumer], before: list[datetime | None]) -> bool:
    return all(a != b for a, b in zip(times(consumers), before, strict=True))


def have_handled(seen: list[list[int]], number: int) -> bool:
    """Return True if this number is the last one that each consumer has handled."""
    return all(numbers[-1:] == [number] for numbers in seen)


async def test_consumers_that_wait_send_one_statement_for_all_of_them(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url) as client:
        waiting = Waiting(client, category, 30)
        async with waiting.running():
            await next_looks(waiting.consumers, 2)
            before = client.pool_stats().requests_num
            # Each of them has been looked for five times, and each would have read five times.
            await next_looks(waiting.consumers, 5)
            assert client.pool_stats().requests_num - before < 5 * 30 / 2
            assert {consumer.status().lag_messages for consumer in waiting.consumers} == {0}


async def test_each_of_several_categories_is_delivered_to_its_own_consumer(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url) as client:
        waiting = Waiting(client, category)
        async with waiting.running():
            await next_looks(waiting.consumers, 1)
            for n, consumer in enumerate(waiting.consumers):
                await write(client, f"{category}x{n}-1", n, 2)
                await consumer.wait_until_processed(f"{category}x{n}-1", 1, timeout=GOES_ON)
    assert waiting.seen == [[n, n + 1] for n in range(SEVERAL)]


async def test_a_message_that_is_written_is_handled_without_anyone_asking(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url) as client:
        waiting = Waiting(client, category)
        async with waiting.running():
            await next_looks(waiting.consumers, 1)
            await write(client, f"{category}x5-1", 0, 1)
            await eventually(lambda: waiting.seen[5] == [0], GOES_ON)
            # And so are the next ones, after the first has been handled.
            await next_looks([waiting.consumers[5]], 2)
            await write(client, f"{category}x5-2", 1, 1)
            await eventually(lambda: waiting.seen[5] == [0, 1], GOES_ON)


async def test_a_message_that_is_committed_late_is_delivered(store_url: str, category: str) -> None:
    """Its position is before that of a message which others have handled meanwhile."""
    async with AsyncClient(store_url) as client:
        waiting = Waiting(client, category)
        everything = AsyncAllConsumer(
            client,
            [f"{category}x0", f"{category}x1"],
            identifier="idle",
            start="end",
            **OPTIONS,
        )
        seen = record_numbers(everything)
        async with waiting.running(), everything.running():
            await eventually(lambda: everything.status().state == "caught up", 20)
            late = await client.begin()
            await late.write_message(f"{category}x0-1", NewMessage("Noted", {"n": 0}))
            await write(client, f"{category}x1-1", 1, 1)
            await eventually(lambda: waiting.seen[1] == [1], GOES_ON)
            await next_looks(waiting.consumers, 3)
            assert (waiting.seen[0], seen) == ([], [])
            await late.commit()
            await eventually(lambda: waiting.seen[0] == [0], GOES_ON)
            await eventually(lambda: seen == [0, 1], GOES_ON)


async def test_members_of_a_group_at_different_positions_all_go_on(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url) as client:
        members = [
            AsyncConsumer(
                client,
                category,
                identifier="group",
                group_member=member,
                group_size=3,
                **OPTIONS,
            )
            for member in range(3)
        ]
        seen = [record_numbers(member) for member in members]
        async with AsyncExitStack() as stack:
            for member in members:
                await stack.enter_async_context(member.running())
            for n in range(12):
                await write(client, f"{category}-{n}", n, 1)
                await next_looks(members[:1], 1)
            await eventually(lambda: sum(map(len, seen)) == 12, GOES_ON)
    assert sorted(n for numbers in seen for n in numbers) == list(range(12))


async def test_consumers_end_one_by_one_and_the_others_go_on(store_url: str, category: str) -> None:
    """Whichever of them looked for all, another one does it then."""
    async with AsyncClient(store_url) as client:
        waiting = Waiting(client, category)
        async with waiting.running():
            for n, consumer in enumerate(waiting.consumers[:-1]):
                await consumer.stop()
                for other in range(n + 1, SEVERAL):
                    await write(client, f"{category}x{other}-1", n, 1)
                await eventually(partial(have_handled, waiting.seen[n + 1 :], n), GOES_ON)
    assert waiting.seen == [list(range(n)) for n in range(SEVERAL - 1)] + [list(range(SEVERAL - 1))]


async def test_consumers_go_on_when_all_connections_are_cut(
    store_url: str, database_url: str, category: str
) -> None:
    async with AsyncClient(make_url(store_url, application_name=category)) as client:
        waiting = Waiting(client, category)
        async with waiting.running():
            for n in range(3):
                terminate(database_url, pids(database_url, category))
                for other in range(SEVERAL):
                    await write(client, f"{category}x{other}-1", n, 1)
                await eventually(partial(have_handled, waiting.seen, n), GOES_ON)
    assert waiting.seen == [[0, 1, 2]] * SEVERAL


async def test_an_unavailable_store_is_reported_by_each_and_all_go_on_afterwards(
    store_url: str, category: str
) -> None:
    with FaultProxy(store_url) as proxy:
        async with (
            AsyncClient(proxy.url, timeout=0.5, command_timeout=COMMAND_TIMEOUT) as client,
            AsyncClient(store_url) as writer,
        ):
            waiting = Waiting(client, category)
            async with waiting.running():
                proxy.refuse()
                await eventually(
                    lambda: all(
                        consumer.status().state in ("reconnecting", "waiting")
                        for consumer in waiting.consumers
                    ),
                    20,
                )
                for n in range(SEVERAL):
                    await write(writer, f"{category}x{n}-1", n, 1)
                proxy.resume()
                await eventually(lambda: waiting.seen == [[n] for n in range(SEVERAL)], GOES_ON + 5)
                await eventually(waiting.are_idle, GOES_ON)


async def test_a_role_that_may_only_call_the_functions_gets_its_messages(
    new_database: NewDatabase, category: str
) -> None:
    url = new_database()
    functions_only(url)
    async with AsyncClient(make_url(url, user="message_store")) as client:
        waiting = Waiting(client, category)
        async with waiting.running():
            for n in range(SEVERAL):
                await write(client, f"{category}x{n}-1", n, 1)
            await eventually(lambda: waiting.seen == [[n] for n in range(SEVERAL)], GOES_ON)


async def test_consumers_read_by_themselves_when_the_server_refuses_their_look(
    new_database: NewDatabase, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "messagedb.consumer")
    url = new_database()
    with psycopg.connect(url) as owner:
        # It is called by the look, and by no read.
        owner.execute(
            "create function message_store.unnest(varchar[]) returns setof varchar language plpgsql"
            " as $$ begin raise exception 'refused'; end $$"
        )
    async with AsyncClient(make_url(url, user="message_store")) as client:
        waiting = Waiting(client, category)
        async with waiting.running():
            await eventually(lambda: count_lines(caplog, "look for messages together"), GOES_ON)
            for n in range(SEVERAL):
                await write(client, f"{category}x{n}-1", n, 1)
            await eventually(lambda: waiting.seen == [[n] for n in range(SEVERAL)], GOES_ON)
            assert {consumer.status().last_error for consumer in waiting.consumers} == {None}
    assert count_lines(caplog, "look for messages together") == 1


async def test_looks_whose_connection_is_cut_each_time_keep_no_message_back(
    store_url: str, category: str
) -> None:
    with FaultProxy(store_url) as proxy:
        async with (
            AsyncClient(proxy.url, max_size=2, command_timeout=COMMAND_TIMEOUT) as client,
            AsyncClient(store_url) as writer,
        ):
            waiting = Waiting(client, category)
            async with waiting.running():
                # The names of several categories, which only a look has.
                proxy.cut_at("before_answer", f'","{category}x', times=50)
                await eventually(lambda: proxy.injected >= 3, GOES_ON)
                for n in range(SEVERAL):
                    await write(writer, f"{category}x{n}-1", n, 1)
                await eventually(lambda: waiting.seen == [[n] for n in range(SEVERAL)], 20)


def count_lines(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


async def test_consumers_end_when_their_client_is_closed(store_url: str, category: str) -> None:
    client = AsyncClient(store_url)
    await client.open()
    waiting = Waiting(client, category)
    runs = [Background(consumer.run) for consumer in waiting.consumers]
    await eventually(waiting.are_idle, 20)
    await client.close()
    for run in runs:
        outcome = await run.outcome(GOES_ON)
        assert "closed" in str(outcome.error)

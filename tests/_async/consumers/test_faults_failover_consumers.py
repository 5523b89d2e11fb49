"""Consumers after a failover to a standby that lagged: they say what was lost, and skip nothing."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal

import pytest

from messagedb import (
    AsyncAllConsumer,
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    AsyncReadModel,
    LostHistoryError,
    Message,
    NewMessage,
    StreamPositionStore,
    TablePositionStore,
)
from messagedb._concurrency.backend_async import run_blocking
from tests._async.consuming import record_numbers
from tests._async.failing_over import (
    cut_link,
    fail_over_unseen,
    numbers_in,
    position_of,
    write_numbers,
)
from tests.support.background_async import Background, eventually
from tests.support.replication import Cluster, Node

COUNT = "INSERT INTO {table} (n) VALUES (%s)"
RARELY: dict[str, Any] = {
    "poll_interval": 0.01,
    "idle_poll_interval": 0.02,
    "position_update_interval": 100,
    "position_update_seconds": 600.0,
    "lease_timeout": 1.0,
}
"""Options of a consumer that reads soon, and stores its position after each hundred messages."""

KINDS: dict[str, dict[str, Any]] = {
    "stream": {"position_store": StreamPositionStore()},
    "table": {"position_store": TablePositionStore()},
    "concurrent": {"concurrency": 4},
    "small pages": {"batch_size": 7},
    "group": {"group_member": 0, "group_size": 1},
    "filtered": {"condition": "messages.type = 'Noted'"},
    "all": {},
}
Chosen = Literal["stop", "continue"]


@asynccontextmanager
async def opened(cluster: Cluster, size: int = 6) -> AsyncGenerator[AsyncClient]:
    """Return a client of the cluster."""
    async with AsyncClient(
        cluster.url(), max_size=size, timeout=5.0, command_timeout=5.0
    ) as client:
        yield client


def consumer_of(
    client: AsyncClient, category: str, kind: str, on_lost_history: Chosen = "stop"
) -> AsyncConsumer | AsyncAllConsumer:
    """Make a consumer of a kind."""
    options: dict[str, Any] = {**RARELY, **KINDS[kind], "on_lost_history": on_lost_history}
    if kind == "all":
        return AsyncAllConsumer(client, [category], identifier=category, **options)
    return AsyncConsumer(client, category, identifier="noting", **options)


def has_seen(seen: list[int], count: int) -> bool:
    """Return True if so many messages were handled."""
    return len(seen) >= count


def states(*consumers: AsyncConsumer | AsyncAllConsumer) -> set[str]:
    """Return the states of consumers."""
    return {consumer.status().state for consumer in consumers}


async def handle_a_tail_that_gets_lost(
    cluster: Cluster, category: str, seen: list[int], new: int = 200
) -> tuple[Node, int, int]:
    """Let 181 messages be handled of which the position of 100 is stored; lose 81, write others.

    Returns:
        The new primary; the global positions of the last one that is kept, and of the last lost.
    """
    old = cluster.primary
    await run_blocking(write_numbers, old, category, 0, 100)
    await eventually(lambda: has_seen(seen, 100), limit=20.0)
    await eventually(lambda: saves(old, category) == 1, limit=20.0)
    await run_blocking(cut_link, cluster)
    await run_blocking(write_numbers, old, category, 100, 81)
    await eventually(lambda: has_seen(seen, 181), limit=20.0)
    assert saves(old, category) == 1
    kept, lost = position_of(old, category, 99), position_of(old, category, 180)
    if "all:position" in str(saved_in(old, category)):
        # One that looks at all categories has looked at the message with its position as well.
        kept += 1
    return await run_blocking(fail_over_unseen, cluster, category, 1000, new), kept, lost


def saved_in(node: Node, category: str) -> object:
    """Return the streams in which positions of a category's consumers are stored."""
    return node.scalar(
        "select array_agg(stream_name) from message_store.messages"
        " where message_store.category(stream_name) like '%:position'"
        f" and stream_name like '%{category}%'"
    )


def saves(node: Node, category: str) -> object:
    """Return how many positions of a category's consumers are stored in streams or in the table."""
    return node.scalar(
        "select (select count(*) from message_store.messages"
        " where message_store.category(stream_name) like '%:position'"
        f" and stream_name like '%{category}%') +"
        f" (select count(*) from messagedb.positions where consumer like '%{category}%')"
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_a_consumer_says_what_the_store_has_lost_and_skips_nothing(
    lagging: Cluster, category: str, kind: str
) -> None:
    async with opened(lagging) as client:
        consumer = consumer_of(client, category, kind)
        seen = record_numbers(consumer)
        run = Background(consumer.run)
        _, kept, lost = await handle_a_tail_that_gets_lost(lagging, category, seen)
        error = (await run.outcome()).error
        assert isinstance(error, LostHistoryError), error
        assert sorted(seen) == list(range(181))
        assert (error.common_position, error.position) == (kept, lost)
        assert f"The messages handled from {kept + 1} to {lost} are lost" in str(error)
        assert "another consumer" not in str(error)
        assert states(consumer) == {"failed"}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_consumer_that_is_to_goes_on_behind_what_was_lost(
    lagging: Cluster, category: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(lagging) as client:
        consumer = consumer_of(client, category, kind, "continue")
        seen = record_numbers(consumer)
        with caplog.at_level(logging.WARNING, "messagedb.consumer"):
            async with consumer.running():
                _, kept, lost = await handle_a_tail_that_gets_lost(lagging, category, seen)
                await eventually(lambda: has_seen(seen, 381), limit=20.0)
                await consumer.wait_until_caught_up(timeout=10.0)
        assert sorted(seen[181:]) == list(range(1000, 1200))
        assert f"The messages handled from {kept + 1} to {lost} are lost" in caplog.text


@pytest.mark.parametrize("kind", ["stream", "table", "all"])
async def test_a_consumer_that_has_stopped_goes_on_when_it_is_run_again(
    lagging: Cluster, category: str, kind: str
) -> None:
    async with opened(lagging) as client:
        consumer = consumer_of(client, category, kind)
        seen = record_numbers(consumer)
        run = Background(consumer.run)
        await handle_a_tail_that_gets_lost(lagging, category, seen)
        assert isinstance((await run.outcome()).error, LostHistoryError)
        again = consumer_of(client, category, kind)
        seen = record_numbers(again)
        await again.run(until="caught_up")
        # The position that the store itself has is the one of the hundredth message.
        assert sorted(seen) == list(range(1000, 1200))


@pytest.mark.parametrize("kind", ["stream", "all"])
async def test_a_tail_that_nothing_new_fills_is_missed_all_the_same(
    lagging: Cluster, category: str, kind: str
) -> None:
    async with opened(lagging) as client:
        consumer = consumer_of(client, category, kind)
        seen = record_numbers(consumer)
        run = Background(consumer.run)
        new, _, lost = await handle_a_tail_that_gets_lost(lagging, category, seen, new=0)
        await run_blocking(write_numbers, new, category, 1000, 1)
        error = (await run.outcome()).error
        assert isinstance(error, LostHistoryError), error
        assert error.position == lost
        assert sorted(seen) == list(range(181))


@pytest.mark.parametrize("on_lost_history", ["stop", "continue"])
async def test_a_subscription_says_what_the_store_has_lost(
    lagging: Cluster, category: str, on_lost_history: Chosen
) -> None:
    seen: list[int] = []

    async def take(client: AsyncClient) -> None:
        async for message in client.subscribe(
            category, poll_interval=0.01, on_lost_history=on_lost_history
        ):
            seen.append(message.data["n"])
            if message.data["n"] == 1199:
                break

    async with opened(lagging) as client:
        old = lagging.primary
        loop = Background(take, client)
        await run_blocking(write_numbers, old, category, 0, 100)
        await eventually(lambda: has_seen(seen, 100))
        await run_blocking(cut_link, lagging)
        await run_blocking(write_numbers, old, category, 100, 81)
        await eventually(lambda: has_seen(seen, 181))
        kept, lost = position_of(old, category, 99), position_of(old, category, 180)
        await run_blocking(fail_over_unseen, lagging, category, 1000, 200)
        error = (await loop.outcome()).error
        if on_lost_history == "stop":
            assert isinstance(error, LostHistoryError), error
            assert (error.common_position, error.position) == (kept, lost)
            assert seen == list(range(181))
        else:
            assert error is None
            assert seen[181:] == list(range(1000, 1200))


@pytest.mark.parametrize("size", [None, 7])
async def test_effects_in_the_store_are_those_of_its_messages(
    lagging: Cluster, category: str, size: int | None
) -> None:
    effects = f"{category}Effect"
    async with opened(lagging) as client:
        consumer = AsyncConsumer(
            client,
            category,
            identifier="copying",
            transactional=True,
            transaction_size=size,
            position_store=TablePositionStore(),
            on_lost_history="continue",
            poll_interval=0.01,
        )
        seen: list[int] = []

        @consumer.handler
        async def copy(message: Message[Any], context: AsyncContext) -> None:
            seen.append(message.data["n"])
            await context.client.write_message(f"{effects}-1", NewMessage("Copied", message.data))

        async with consumer.running():
            old = lagging.primary
            await run_blocking(write_numbers, old, category, 0, 20)
            await eventually(lambda: has_seen(seen, 20))
            await run_blocking(cut_link, lagging)
            await run_blocking(write_numbers, old, category, 20, 20)
            await eventually(lambda: has_seen(seen, 40))
            new = await run_blocking(fail_over_unseen, lagging, category, 1000, 100)
            await eventually(partial(has_copied, new, effects, 120), limit=30.0)
        expected = [*range(20), *range(1000, 1100)]
        assert numbers_in(new, category) == numbers_in(new, effects) == expected


def has_copied(node: Node, effects: str, count: int) -> bool:
    """Return True if so many effects are there."""
    return len(numbers_in(node, effects)) >= count


async def test_a_read_model_shows_what_the_store_has(lagging: Cluster, category: str) -> None:
    lagging.primary.execute(f"create schema {category} authorization message_store")
    async with opened(lagging) as client:
        model = AsyncReadModel(
            client,
            category,
            name="numbers",
            version=1,
            schema=category.lower(),
            create="CREATE TABLE {table} (n int NOT NULL)",
            on_lost_history="continue",
            poll_interval=0.01,
        )

        @model.handler
        async def count(message: Message[Any], context: AsyncContext) -> None:
            transaction = context.transaction
            await transaction.connection.execute(model.format_sql(COUNT), [message.data["n"]])

        def shown(node: Node) -> list[int]:
            numbers = node.scalar(
                f"select coalesce(array_agg(n order by n), '{{}}') from {category}.numbers"
            )
            return list_of_numbers(numbers)

        run = Background(model.run)
        old = lagging.primary
        await run_blocking(write_numbers, old, category, 0, 20)
        await eventually(lambda: has_table(old, category) and len(shown(old)) == 20)
        await run_blocking(cut_link, lagging)
        await run_blocking(write_numbers, old, category, 20, 20)
        await eventually(lambda: len(shown(old)) == 40)
        new = await run_blocking(fail_over_unseen, lagging, category, 1000, 50)
        await eventually(lambda: len(shown(new)) >= 70, limit=20.0)
        await model.stop(timeout=10.0)
        await run.result()
        assert shown(new) == [*range(20), *range(1000, 1050)]


def list_of_numbers(value: Any) -> list[int]:
    """Return an array that the server has given."""
    return [int(number) for number in value]


def has_table(node: Node, category: str) -> bool:
    """Return True if the view of the read model is there."""
    return bool(node.scalar(f"select to_regclass('{category}.numbers') is not null"))


async def test_a_fleet_goes_on_after_one_failover_and_another(
    lagging: Cluster, category: str
) -> None:
    async with opened(lagging, size=16) as client:
        fleet = [
            AsyncConsumer(
                client,
                category,
                identifier="fleet",
                group_member=member,
                group_size=3,
                on_lost_history="continue",
                **RARELY,
            )
            for member in range(3)
        ]
        seen = [record_numbers(consumer) for consumer in fleet]
        runs = [Background(consumer.run) for consumer in fleet]
        first = 0
        for _ in range(2):
            old = lagging.primary
            await run_blocking(write_numbers, old, category, first, 30)
            await eventually(partial(have_all, seen, list(range(first, first + 30))), limit=20.0)
            await run_blocking(cut_link, lagging)
            await run_blocking(write_numbers, old, category, first + 30, 30)
            lost = list(range(first + 30, first + 60))
            await eventually(partial(have_all, seen, lost), limit=20.0)
            new = await run_blocking(fail_over_unseen, lagging, category, first + 100, 60)
            there = list(range(first + 100, first + 160))
            await eventually(partial(have_all, seen, there), limit=30.0)
            assert numbers_in(new, category)[-60:] == there
            await run_blocking(lagging.rejoin, old)
            first += 1000
        assert states(*fleet) <= {"running", "caught up", "waiting"}
        for consumer in fleet:
            await consumer.stop(timeout=10.0)
        for run in runs:
            await run.result()


def have_all(seen: list[list[int]], numbers: list[int]) -> bool:
    """Return True if all of these were handled, by one or the other."""
    return set(numbers) <= {number for each in seen for number in each}


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_is_lost_and_consumers_go_on_without_a_word(
    replicated: Cluster, category: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(replicated) as client:
        consumer = consumer_of(client, category, kind)
        seen = record_numbers(consumer)
        async with consumer.running():
            for turn in range(3):
                old = replicated.primary
                await run_blocking(write_numbers, old, category, 40 * turn, 40)
                await eventually(partial(has_seen, seen, 40 * turn + 40), limit=20.0)
                if turn == 0:
                    await run_blocking(replicated.fail_over)
                    await run_blocking(replicated.rejoin, old)
                elif turn == 1:
                    await run_blocking(replicated.switch_over)
                else:
                    await run_blocking(old.power_cut)
                    await run_blocking(old.start)
            await run_blocking(write_numbers, replicated.primary, category, 120, 40)
            await eventually(lambda: has_seen(seen, 160), limit=20.0)
        assert sorted(seen) == list(range(160))
        assert "is gone" not in caplog.text


@pytest.mark.parametrize("on_lost_history", ["stop", "continue"])
@pytest.mark.parametrize("kind", ["stream", "table"])
async def test_saves_that_the_store_has_lost_are_not_another_consumers(
    lagging: Cluster, category: str, kind: str, on_lost_history: Chosen
) -> None:
    options: dict[str, Any] = {**RARELY, **KINDS[kind], "position_update_interval": 10}
    async with opened(lagging) as client:
        consumer = AsyncConsumer(
            client, category, identifier="noting", on_lost_history=on_lost_history, **options
        )
        seen: list[int] = []
        old = lagging.primary

        @consumer.handler
        async def note(message: Message[Any]) -> None:
            seen.append(message.data["n"])
            if message.data["n"] == 10 and old.runs:
                await eventually(lambda: saves(old, category) == 1)
                # The standby has all messages by now, and gets nothing of what is stored after.
                await run_blocking(cut_link, lagging)

        run = Background(consumer.run)
        await run_blocking(write_numbers, old, category, 0, 30)
        tenth = position_of(old, category, 9)
        await eventually(lambda: has_seen(seen, 30) and has_saved_beyond(old, category, tenth))
        new = await run_blocking(fail_over_unseen, lagging, category, 30, 50)
        if on_lost_history == "stop":
            error = (await run.outcome()).error
            assert isinstance(error, LostHistoryError), error
            assert "the position that it had stored is missing" in str(error)
            assert "another consumer" not in str(error)
        else:
            await eventually(lambda: set(seen) == set(range(80)), limit=20.0)
            last = position_of(new, category, 75)
            await eventually(lambda: has_saved_beyond(new, category, last - 20), limit=20.0)
            await consumer.stop(timeout=10.0)
            await run.result()
        assert numbers_in(new, category) == list(range(80))


def has_saved_beyond(node: Node, category: str, position: int) -> bool:
    """Return True if a greater position is stored."""
    return bool(
        node.scalar(
            f"select exists (select from messagedb.positions where consumer like '{category}%'"
            f" and position > {position}) or exists (select from message_store.messages"
            f" where stream_name like '{category}:position%'"
            f" and (data->>'position')::bigint > {position})"
        )
    )

"""Partitions are listed: who owns which, since when, how far behind, and which have no owner."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from messagedb import AsyncClient, AsyncConsumer, Message, NewMessage
from messagedb.consumers import PartitionSetInfo
from messagedb.errors import PositionConflictError, ValidationError
from tests._async.consuming import record_numbers
from tests.support.background_async import eventually

SIZE = 4


def make(client: AsyncClient, category: str, name: str) -> AsyncConsumer:
    """Return a consumer of four partitions that a process of this name runs."""
    return AsyncConsumer(
        client,
        category,
        identifier="shared",
        partitions=SIZE,
        lease_timeout=3.0,
        member_name=name,
        position_update_interval=1,
    )


def count_owned(consumer: AsyncConsumer) -> int:
    """Return how many partitions it owns."""
    return len(consumer.status().partitions or ())


async def read(client: AsyncClient, category: str) -> PartitionSetInfo:
    """Return the partitions of that consumer."""
    return await client.list_partitions(category, "shared")


async def test_partitions_are_listed_with_owner_since_position_and_lag(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url) as client:
        first, second = make(client, category, "first"), make(client, category, "second")
        seen = record_numbers(first)
        record_numbers(second)
        for n in range(12):
            await client.write_message(f"{category}-{n}", NewMessage("Noted", {"n": n}))
        await first.run(until="caught_up")
        assert sorted(seen) == list(range(12))
        stopped = await read(client, category)
        assert (stopped.members, stopped.owned_count, stopped.overdue) == ((), 0, ())
        assert stopped.unowned == (0, 1, 2, 3)
        assert sum(each.lag_messages or 0 for each in stopped.partitions) == 0
        for n in range(12):
            await client.write_message(f"{category}-{n}", NewMessage("Noted", {"n": n}))
        behind = await read(client, category)
        lags = [each.lag_messages or 0 for each in behind.partitions]
        assert sum(lags) == 12
        assert not behind.has_more_lag
        waiting = [each.lag_seconds or 0.0 for each in behind.partitions if each.lag_messages]
        assert min(waiting) >= 0
        async with first.running():
            # It has joined before the other one does.
            await eventually(lambda: count_owned(first) == SIZE, 20)
            async with second.running():
                await eventually(lambda: (count_owned(first), count_owned(second)) == (2, 2), 20)
                await first.wait_until_caught_up(timeout=20)
                found = await read(client, category)
                assert [each.name for each in found.members] == ["first", "second"]
                assert (found.size, found.owned_count, found.unowned, found.imbalance) == (
                    4,
                    4,
                    (),
                    0,
                )
                assert (found.phase, found.next_size, found.position_store) == (
                    None,
                    None,
                    "stream",
                )
                by_first = [each for each in found.partitions if each.owner == found.members[0]]
                assert tuple(each.number for each in by_first) == first.status().partitions
                for each in found.partitions:
                    assert each.since is not None
                    assert timedelta() <= found.read_at - each.since < timedelta(minutes=1)
                    assert each.unowned_since is None
                    assert each.epoch >= 2
                    assert each.name == f"{category}:position-shared+{each.number}+4"
        (listed,) = await client.list_partition_sets(category)
        assert [each.number for each in listed.partitions] == list(range(SIZE))
        assert all(each.was_given_up for each in listed.partitions)
        assert all(each.unowned_since is not None for each in listed.partitions)


async def test_the_position_of_one_partition_is_not_reset_while_a_process_owns_it(
    client: AsyncClient, category: str
) -> None:
    consumer = make(client, category, "first")
    record_numbers(consumer)
    partition = AsyncConsumer(
        client, category, identifier="shared", group_member=1, group_size=SIZE
    )
    async with consumer.running():
        await eventually(lambda: count_owned(consumer) == SIZE, 20)
        before = (await read(client, category)).partitions[1].next_position
        with pytest.raises(PositionConflictError, match=r"owned by first\. Nothing was changed"):
            await partition.reset_position(5)
        assert (await read(client, category)).partitions[1].next_position == before
    assert await partition.reset_position(5) == 5
    assert (await read(client, category)).partitions[1].next_position == 5


async def test_a_partition_without_an_owner_for_long_is_overdue(
    store_url: str, database_url: str, category: str
) -> None:
    """An owner that died long ago leaves its rows, which are made older here."""
    async with AsyncClient(store_url) as client:
        consumer = make(client, category, "first")
        record_numbers(consumer)
        await consumer.run(until="caught_up")
        with psycopg.connect(database_url, autocommit=True) as conn:
            conn.execute(
                "insert into messagedb.partition_members (category, identifier, member, name, host,"
                " pid, joined_at, expires_at) values (%s, 'shared', %s, 'dead', 'host', 1, now(),"
                " now() - interval '1 minute')",
                [category, "00000000-0000-4000-8000-000000000001"],
            )
            conn.execute(
                "update messagedb.partitions set owner = %s where category = %s and number < 2",
                ["00000000-0000-4000-8000-000000000001", category],
            )
        found = await read(client, category)
        assert (found.members, found.overdue, found.state) == ((), (0, 1), "not running")
        assert found.alarm is not None
        assert "partitions 0-1 for more than 10 s" in found.alarm
        assert [each.was_given_up for each in found.partitions] == [False, False, True, True]
        since = found.partitions[0].unowned_since
        assert since is not None
        assert found.read_at - since >= timedelta(seconds=55)
        async with consumer.running():
            await eventually(lambda: count_owned(consumer) == SIZE, 20)
            owned = await read(client, category)
            assert (owned.owned_count, owned.overdue, owned.alarm) == (SIZE, (), None)


async def test_a_partition_that_is_released_goes_to_another_process_and_stays_there(
    store_url: str, category: str
) -> None:
    """The shares stay equal: the other process gives up another one for it."""
    async with AsyncClient(store_url) as client:
        first, second = make(client, category, "first"), make(client, category, "second")
        seen = record_numbers(first), record_numbers(second)
        async with first.running():
            await eventually(lambda: count_owned(first) == SIZE, 20)
            await client.release_partition(category, "shared", 3)
            assert (await read(client, category)).unowned in ((3,), ())
            # The only process takes it again.
            await eventually(lambda: count_owned(first) == SIZE, 30)
            async with second.running():
                await eventually(lambda: (count_owned(first), count_owned(second)) == (2, 2), 20)
                number = min(first.status().partitions or ())
                await client.release_partition(category, "shared", number)
                await eventually(lambda: number in (second.status().partitions or ()), 20)
                await eventually(lambda: (count_owned(first), count_owned(second)) == (2, 2), 20)
                assert number in (second.status().partitions or ())
                for n in range(12):
                    await client.write_message(f"{category}-{n}", NewMessage("Noted", {"n": n}))
                await eventually(lambda: len(seen[0]) + len(seen[1]) == 12, 20)
                assert sorted([*seen[0], *seen[1]]) == list(range(12))


async def test_a_partition_whose_handler_runs_is_given_up_after_its_message(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url) as client:
        consumer = make(client, category, "first")
        may_return: list[bool] = []
        calls: list[int] = []

        @consumer.handler
        async def handle(message: Message[Any]) -> None:
            calls.append(message.data["n"])
            await eventually(lambda: may_return, 60)

        async with consumer.running():
            await eventually(lambda: count_owned(consumer) == SIZE, 20)
            await client.write_message(f"{category}-1", NewMessage("Noted", {"n": 1}))
            await eventually(lambda: calls, 20)
            lags = (await read(client, category)).partitions
            (number,) = (each.number for each in lags if each.lag_messages)
            with pytest.raises(TimeoutError, match=f"first has not given up partition {number}"):
                await client.release_partition(category, "shared", number, timeout=0.2)
            assert (await read(client, category)).partitions[number].is_release_requested
            may_return.append(True)
            await eventually(lambda: number not in (consumer.status().partitions or ()), 20)
            with pytest.raises(ValidationError, match="there is no partition 4"):
                await client.release_partition(category, "shared", 4)
        assert calls == [1]
        with pytest.raises(PositionConflictError, match="partition 0 has no live owner"):
            await client.release_partition(category, "shared", 0)


async def test_partitions_that_do_not_exist_are_refused(store_url: str, category: str) -> None:
    async with AsyncClient(store_url) as client:
        with pytest.raises(PositionConflictError, match="no partitions are stored"):
            await read(client, category)
        with pytest.raises(PositionConflictError, match="no partitions are stored"):
            await client.release_partition(category, "shared", 0)
        assert await client.list_partition_sets(category) == []
        with pytest.raises(ValidationError):
            await client.list_partitions(category, "")

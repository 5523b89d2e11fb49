"""Partitions in a store that has no tables for them, such as a Message DB of others: by locks."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import psycopg
import pytest

from messagedb import AsyncClient, AsyncConsumer, Message, NewMessage, schema
from messagedb.errors import IncompatibleServerError, PositionConflictError
from messagedb.testing import FaultProxy
from tests.conftest import NewDatabase
from tests.support.backend import make_url
from tests.support.background_async import eventually

SIZE = 6
LEASE = 2.0


@pytest.fixture
def owner_url(new_database: NewDatabase) -> str:
    """Return a superuser's URL of a Message DB without our tables."""
    url = new_database()
    execute(url, "DROP SCHEMA messagedb CASCADE")
    return url


def execute(url: str, statement: str) -> None:
    """Execute a statement as the owner."""
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(statement.encode())


class Seen:
    """The numbers that consumers of the same identifier have handled, by stream, in order."""

    def __init__(self, category: str) -> None:
        self.category = category
        self.numbers: dict[str, list[int]] = defaultdict(list)

    def join(self, client: AsyncClient, **options: Any) -> AsyncConsumer:
        """Return a consumer that notes the numbers."""
        options = {"partitions": SIZE, "lease_timeout": LEASE, **options}
        consumer = AsyncConsumer(client, self.category, identifier="shared", **options)

        @consumer.handler
        async def note(message: Message[Any]) -> None:
            self.numbers[message.stream_name].append(message.data["n"])

        return consumer

    async def write(self, client: AsyncClient, first: int, count: int) -> None:
        """Write numbers to seven streams in turn."""
        for n in range(first, first + count):
            message = NewMessage("Noted", {"n": n})
            await client.write_message(f"{self.category}-{n % 7}", message)

    def has_all(self, count: int) -> bool:
        """Return True if each number was handled."""
        return sum(len(set(each)) for each in self.numbers.values()) == count

    def is_exact(self, count: int) -> bool:
        """Return True if each number was handled once, in its order."""
        return self.numbers == {
            f"{self.category}-{i}": list(range(i, count, 7)) for i in range(min(7, count))
        }


def owned(*consumers: AsyncConsumer) -> list[int]:
    """Return the numbers of partitions of each."""
    return [len(consumer.status().partitions or ()) for consumer in consumers]


async def test_without_our_tables_processes_share_partitions_that_are_locks(
    owner_url: str, category: str
) -> None:
    seen = Seen(category)
    url = make_url(owner_url, user="message_store")
    async with AsyncClient(url) as one, AsyncClient(url) as two, AsyncClient(url) as three:
        first, second, third = (seen.join(each) for each in (one, two, three))
        await seen.write(one, 0, 21)
        await first.run(until="caught_up")
        assert seen.is_exact(21)
        async with first.running():
            await eventually(lambda: owned(first) == [6], 10)
            async with second.running(), third.running():
                await eventually(lambda: owned(first, second, third) == [2, 2, 2], 20)
                numbers = [
                    n for each in (first, second, third) for n in each.status().partitions or ()
                ]
                assert sorted(numbers) == list(range(SIZE))
                await seen.write(one, 21, 21)
                await eventually(lambda: seen.is_exact(42), 20)
            # They have left, and nothing has to expire first.
            await eventually(lambda: owned(first) == [6], 10)
            await seen.write(two, 42, 7)
            await first.wait_until_caught_up(timeout=20)
        assert seen.is_exact(49)
        # The positions are those of a group's members.
        stored = [each.name for each in await one.list_consumers(category)]
        assert stored == [f"{category}:position-shared+{n}+{SIZE}" for n in range(SIZE)]


@pytest.mark.parametrize("fault", ["terminated", "cut off"])
async def test_locks_of_an_owner_that_is_gone_are_taken_over_and_it_joins_again(
    owner_url: str, category: str, fault: str
) -> None:
    seen = Seen(category)
    url = make_url(owner_url, user="message_store")
    with FaultProxy(url) as proxy:
        async with AsyncClient(proxy.conninfo) as cut, AsyncClient(url) as client:
            first, second = seen.join(cut), seen.join(client)
            async with first.running(), second.running():
                await eventually(lambda: owned(first, second) == [3, 3], 20)
                await seen.write(client, 0, 14)
                await eventually(lambda: seen.has_all(14), 20)
                if fault == "terminated":
                    execute(owner_url, TERMINATE_OTHERS)
                else:
                    proxy.stall()
                    await eventually(lambda: owned(second) == [6], 20)
                await seen.write(client, 14, 14)
                await eventually(lambda: seen.has_all(28), 20)
                if fault == "cut off":
                    # Without a sign of life it knows by itself that it owns nothing.
                    await eventually(lambda: owned(first) == [0], 20)
                proxy.resume()
                await eventually(lambda: owned(first, second) == [3, 3], 30)
                await seen.write(client, 28, 14)
                await eventually(lambda: seen.has_all(42), 20)
    # At least once; the first time in the order of the stream.
    assert all(list(dict.fromkeys(each)) == sorted(set(each)) for each in seen.numbers.values())


TERMINATE_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def test_what_would_handle_the_same_messages_is_refused_while_partitions_are_locks(
    owner_url: str, category: str
) -> None:
    seen = Seen(category)
    url = make_url(owner_url, user="message_store")
    async with AsyncClient(url) as one, AsyncClient(url) as two:
        running = seen.join(one)
        async with running.running():
            await eventually(lambda: owned(running) == [SIZE], 10)
            refused: list[tuple[AsyncClient, dict[str, Any], str]] = [
                (two, {"partitions": 4}, "with 6 partitions, and this one has 4"),
                (one, {}, "this client runs its partitions already"),
                (two, {"partitions": None}, "used with partitions, by server process"),
            ]
            for client, options, reason in refused:
                with pytest.raises(PositionConflictError, match=reason):
                    await seen.join(client, **options).run(until="caught_up")
            with pytest.raises(PositionConflictError, match="by server process"):
                await seen.join(two).reset_position("beginning")
            # The tables come while it runs: what uses them does not join it.
            schema.install(owner_url)
            with pytest.raises(PositionConflictError, match="runs under the same identifier"):
                await seen.join(two).run(until="caught_up")
            await seen.write(one, 0, 7)
            await eventually(lambda: seen.is_exact(7), 20)
        # Then it uses them, and the positions are the same.
        await seen.write(one, 7, 7)
        await seen.join(two).run(until="caught_up")
        assert seen.is_exact(14)


async def test_a_plain_consumer_that_runs_keeps_partitions_that_are_locks_away(
    owner_url: str, category: str
) -> None:
    seen = Seen(category)
    url = make_url(owner_url, user="message_store")
    async with AsyncClient(url) as one, AsyncClient(url) as two:
        plain = seen.join(one, partitions=None)
        async with plain.running():
            await eventually(lambda: plain.status().state == "running", 10)
            with pytest.raises(PositionConflictError, match="without partitions runs"):
                await seen.join(two).run(until="caught_up")
            await seen.write(one, 0, 7)
            await eventually(lambda: seen.is_exact(7), 20)
        # It has left a position, without which the partitions would begin.
        with pytest.raises(PositionConflictError, match="used without partitions"):
            await seen.join(two).run(until="caught_up")


async def test_partitions_that_are_locks_are_reset_when_no_process_runs_them(
    owner_url: str, category: str
) -> None:
    seen = Seen(category)
    async with AsyncClient(make_url(owner_url, user="message_store")) as client:
        await seen.write(client, 0, 14)
        consumer = seen.join(client)
        await consumer.run(until="caught_up")
        assert await consumer.reset_position("beginning") == 1
        seen.numbers.clear()
        await consumer.run(until="caught_up")
        assert seen.is_exact(14)


async def test_what_needs_the_tables_says_so(owner_url: str, category: str) -> None:
    seen = Seen(category)
    async with AsyncClient(make_url(owner_url, user="message_store")) as client:
        cure = r"messagedb\.schema\.install\(\)"
        with pytest.raises(IncompatibleServerError, match=cure):
            await seen.join(client, transactional=True).run(until="caught_up")
        with pytest.raises(IncompatibleServerError, match=cure):
            await client.resize_partitions(category, "shared", 12)

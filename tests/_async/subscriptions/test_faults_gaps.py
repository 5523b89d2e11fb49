"""A consumer of several categories misses nothing that is committed out of order."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

from messagedb import AsyncAllConsumer, AsyncClient, Message, NewMessage
from messagedb.consumers import ConsumerStatus
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually, sleep

ROUNDS = 20
WRITERS = 8
TRANSACTIONS = 12


def make(client: AsyncClient, categories: list[str] | None, identifier: str) -> AsyncAllConsumer:
    """Make a consumer that reads pages so small, and so often, that gaps lie across them."""
    return AsyncAllConsumer(
        client,
        categories,
        identifier=identifier,
        start="end",
        batch_size=20,
        poll_interval=0.002,
        idle_poll_interval=0.002,
    )


def noting(consumer: AsyncAllConsumer) -> list[int]:
    """Add a handler for everything to the consumer; return the positions that it is called for."""
    seen: list[int] = []

    @consumer.handler
    async def note(message: Message[Any]) -> None:
        seen.append(message.global_position)

    return seen


def status_of(consumer: AsyncAllConsumer) -> ConsumerStatus:
    """Return the status of a consumer, which has not failed."""
    status = consumer.status()
    assert status.state != "failed", status
    return status


class RolledBackError(Exception):
    """Raised by a writer to have its transaction rolled back."""


async def write_out_of_order(client: AsyncClient, category: str, seed: int) -> int:
    """Write in transactions that take their time to end, and return how much was committed."""
    chance = random.Random(seed)
    count = 0
    for number in range(TRANSACTIONS):
        size = chance.choice([1, 1, 1, 3])
        try:
            async with client.transaction() as tx:
                messages = [NewMessage("Noted", {"n": number}) for _ in range(size)]
                await tx.write_messages(f"{category}-1", messages)
                # The delay is what is tested: others draw positions and commit meanwhile.
                await sleep(chance.choice([0.0, 0.001, 0.005, 0.02]) * chance.random())
                if chance.random() < 0.2:
                    raise RolledBackError
        except RolledBackError:
            continue
        count += size
    return count


async def positions_of(client: AsyncClient, categories: list[str]) -> list[int]:
    """Return the global positions of all messages of some categories, in order."""
    positions: list[int] = []
    for category in categories:
        messages = await client.get_category_messages(category, batch_size=-1)
        positions += [message.global_position for message in messages]
    return sorted(positions)


def is_held(consumer: AsyncAllConsumer, held: list[int]) -> bool:
    """Note whether the consumer is held back now; tell whether it ever was."""
    if status_of(consumer).blocked_by:
        held.append(1)
    return bool(held)


async def test_eight_writers_that_commit_out_of_order(
    client: AsyncClient, store_url: str, category: str
) -> None:
    categories = [f"{category}{number}x" for number in range(WRITERS)]
    some, everything = categories[::2], categories
    consumers = [make(client, some, f"{category}Some"), make(client, None, f"{category}All")]
    seen = [noting(consumer) for consumer in consumers]
    held: list[int] = []
    async with (
        AsyncClient(store_url, max_size=WRITERS) as writing,
        consumers[0].running(),
        consumers[1].running(),
    ):
        for consumer in consumers:
            await eventually(partial(has_begun, consumer))
        for number in range(ROUNDS):
            writers = [
                Background(write_out_of_order, writing, name, 100 * number + n)
                for n, name in enumerate(categories)
            ]
            await eventually(partial(is_held, consumers[1], held))
            for writer in writers:
                assert await writer.result() > 0
            for consumer in consumers:
                await consumer.wait_until_caught_up(timeout=10.0)
                # A consumer that stores its position is a writer, too.
                await eventually(partial(is_not_blocked, consumer))
            for chosen, positions in zip((some, everything), seen, strict=True):
                expected = await positions_of(client, chosen)
                of_these = set(expected)
                assert [p for p in positions if p in of_these] == expected, number
    for positions in seen:
        assert positions == sorted(set(positions))
    assert held


def is_not_blocked(consumer: AsyncAllConsumer) -> bool:
    """Return True if a consumer waits for no open transaction."""
    return status_of(consumer).blocked_by == ()


def has_begun(consumer: AsyncAllConsumer) -> bool:
    """Return True if the consumer has loaded its position."""
    return status_of(consumer).next_position is not None


async def test_the_status_names_who_holds_it_back(
    client: AsyncClient, store_url: str, category: str
) -> None:
    categories = [f"{category}a", f"{category}b"]
    consumer = make(client, categories, f"{category}Held")
    seen = noting(consumer)
    url = make_url(store_url, application_name=f"{category}Slow")
    async with AsyncClient(url, max_size=1) as slow, consumer.running():
        await eventually(partial(has_begun, consumer))
        for commits in (True, False):
            before = list(seen)
            tx = await slow.begin()
            await tx.write_message(f"{categories[0]}-1", NewMessage("Slow"))
            await client.write_message(f"{categories[1]}-1", NewMessage("Quick"))
            await eventually(lambda: status_of(consumer).blocked_by)
            (writer,) = status_of(consumer).blocked_by
            assert writer.application_name == f"{category}Slow"
            assert writer.pid == tx.connection.info.backend_pid
            assert writer.state == "idle in transaction"
            assert writer.since is not None
            assert seen == before
            await (tx.commit() if commits else tx.rollback())
            await consumer.wait_until_caught_up(timeout=5.0)
            assert len(seen) == len(before) + 1 + commits
            assert status_of(consumer).blocked_by == ()
    assert seen == await positions_of(client, categories)

"""Writers and consumers of ten times the size of their pools, and transactions held for long."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from messagedb import (
    AsyncAllConsumer,
    AsyncClient,
    AsyncConsumer,
    Message,
    NewMessage,
    TablePositionStore,
    TransactionTimeoutError,
)
from tests.support.background_async import Background, eventually
from tests.support.ledger import Ledger, positions_of
from tests.support.store import stored

POOL = 4
WRITERS = 10 * POOL
PATIENCE = 120.0
"""Seconds that a call may wait for its turn, and a consumer to catch up."""

FAST: dict[str, Any] = {"poll_interval": 0.02, "idle_poll_interval": 0.05}


class Writer:
    """Writes messages to its stream, one after the other, and notes the positions."""

    def __init__(self, client: AsyncClient, stream: str) -> None:
        self.stream = stream
        self.stop = False
        self.written: list[tuple[str, int]] = []
        self._client = client

    async def run(self, count: int) -> None:
        """Write so many messages, or until it is to stop."""
        for n in range(count):
            if self.stop:
                return
            message = NewMessage("Noted", {"n": n})
            position = await self._client.write_message(self.stream, message)
            self.written.append((str(message.id), position))


def record(consumer: AsyncConsumer | AsyncAllConsumer) -> list[int]:
    """Add a handler to a consumer; return the global positions that it is called for."""
    handled: list[int] = []

    @consumer.handler
    async def note(message: Message[Any]) -> None:
        handled.append(message.global_position)

    return handled


async def crowd(
    conninfo: str, admin: str, category: str, each: int, consumers: int, in_groups: bool = False
) -> Ledger:
    """Let writers share a pool of a tenth of their number, and consumers another such pool.

    Args:
        conninfo: the store.
        admin: a superuser's conninfo of it.
        category: the category of all streams.
        each: the number of messages of each writer.
        consumers: the number of consumers, of which each handles all messages.
        in_groups: whether writes that are in flight share transactions.
    """
    ledger = Ledger()
    async with (
        AsyncClient(conninfo, max_size=POOL, timeout=PATIENCE, group_commit=in_groups) as writing,
        AsyncClient(conninfo, max_size=POOL, timeout=PATIENCE) as reading,
    ):
        readers = [
            AsyncConsumer(
                reading,
                category,
                identifier=f"reader{n}",
                position_store=TablePositionStore(),
                **FAST,
            )
            for n in range(consumers)
        ]
        handled = [record(reader) for reader in readers]
        runs = [Background(reader.run) for reader in readers]
        writers = [Writer(writing, f"{category}-{n}") for n in range(WRITERS)]
        calls = [Background(writer.run, each) for writer in writers]
        for call in calls:
            await call.result(PATIENCE)
        for reader in readers:
            await reader.wait_until_caught_up(timeout=PATIENCE)
            await reader.stop()
        for run in runs:
            await run.result(PATIENCE)
    for writer in writers:
        ledger.check_stream(writer.written, stored(admin, writer.stream))
    there = positions_of(admin, [category])
    for calls_of_one in handled:
        ledger.check_consumer(calls_of_one, there)
    return ledger


async def hold(conninfo: str, admin: str, category: str, seconds: float) -> Ledger:
    """Hold transactions open after a write, while others write and all of it is consumed.

    One of them is committed, one is rolled back, and one runs into its timeout. Their messages are
    behind later ones when they appear: the consumer may skip none of them.

    Args:
        conninfo: the store.
        admin: a superuser's conninfo of it.
        category: the beginning of the names of all categories.
        seconds: how long they are held.
    """
    ledger = Ledger()
    free = f"{category}Free"
    categories = [free, *(f"{category}Held{n}" for n in range(3))]
    async with AsyncClient(conninfo, max_size=16, timeout=PATIENCE) as client:
        reader = AsyncAllConsumer(
            client,
            categories,
            identifier=category,
            position_store=TablePositionStore(),
            **FAST,
        )
        handled = record(reader)
        run = Background(reader.run)
        writers = [Writer(client, f"{free}-{n}") for n in range(4)]
        calls = [Background(writer.run, 10**9) for writer in writers]
        begun = time.monotonic()
        committed = await client.begin(timeout=seconds + PATIENCE)
        rolled_back = await client.begin(timeout=seconds + PATIENCE)
        expired = await client.begin(timeout=seconds / 2)
        kept = NewMessage("Held")
        for transaction, name, message in (
            (committed, categories[1], kept),
            (rolled_back, categories[2], NewMessage("Held")),
            (expired, categories[3], NewMessage("Held")),
        ):
            await transaction.write_message(f"{name}-1", message)
        position = await committed.stream_version(f"{categories[1]}-1")
        await eventually(partial(has_passed, begun, seconds), limit=seconds + PATIENCE)
        last_while_held = max(handled, default=0)
        await committed.commit()
        await rolled_back.rollback()
        await expect_timeout(expired.commit)
        for writer in writers:
            writer.stop = True
        for call in calls:
            await call.result(PATIENCE)
        await reader.wait_until_caught_up(timeout=PATIENCE)
        await reader.stop()
        await run.result(PATIENCE)
    ledger.check_stream([(str(kept.id), position)], stored(admin, f"{categories[1]}-1"))
    for writer in writers:
        ledger.check_stream(writer.written, stored(admin, writer.stream))
    there = positions_of(admin, categories)
    ledger.check_consumer(handled, there)
    (place,) = positions_of(admin, [categories[1]])
    assert last_while_held < place, "the consumer did not wait for a held transaction"
    assert place < there[-1], "nothing was written behind a held transaction"
    for name in categories[2:]:
        assert not stored(admin, f"{name}-1"), "a message that was not committed is stored"
    return ledger


def has_passed(begun: float, seconds: float) -> bool:
    """Return True if so many seconds have passed."""
    return time.monotonic() > begun + seconds


async def expect_timeout(commit: Any) -> None:
    """Call the commit of a transaction whose time has passed."""
    try:
        await commit()
    except TransactionTimeoutError:
        return
    raise AssertionError("a transaction was committed after its timeout")

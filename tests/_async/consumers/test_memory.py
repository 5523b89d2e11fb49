"""A consumer has at most two pages of messages in memory, however many wait for it."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from messagedb import AsyncClient, AsyncConsumer, Message, NewMessage
from messagedb.consumers import ScannedPage
from tests._async.consuming import numbered
from tests.support.background_async import sleep

BACKLOG = 20_000


class Counting(AsyncClient):
    """A client that counts the messages that its scans gave."""

    given = 0
    done = 0
    most = 0

    async def scan_category(self, category: str, **options: Any) -> ScannedPage:
        """Look at a page, and take note of how many messages are in memory now."""
        scan = await super().scan_category(category, **options)
        self.given += len(scan.messages)
        self.most = max(self.most, self.given - self.done)
        return scan


@pytest.fixture
async def counting(store_url: str) -> AsyncIterator[Counting]:
    """Return such a client."""
    async with Counting(store_url, max_size=4) as client:
        yield client


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("streams", [1, 7])
async def test_never_more_than_two_pages(
    counting: Counting, category: str, concurrency: int, streams: int
) -> None:
    consumer = AsyncConsumer(counting, category, concurrency=concurrency, batch_size=5)

    @consumer.handler
    async def note(message: Message[Any]) -> None:
        await sleep(0.002)
        counting.done += 1

    for stream in range(streams):
        await counting.write_messages(f"{category}-{stream}", numbered(0, 70 // streams))
    await consumer.run(until="caught_up")
    assert counting.done == counting.given == 70
    assert 5 <= counting.most <= 2 * 5


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_backlog_takes_no_more_memory_than_its_pages(
    client: AsyncClient, category: str, concurrency: int
) -> None:
    text = "x" * 500
    for stream in range(4):
        await client.write_messages(
            f"{category}-{stream}",
            [NewMessage("Noted", {"text": text}) for _ in range(BACKLOG // 4)],
        )
    consumer = AsyncConsumer(client, category, batch_size=500, concurrency=concurrency)

    @consumer.handler
    async def note(message: Message[Any]) -> None:
        assert message.type == "Noted"

    tracemalloc.start()
    try:
        await consumer.run(until="caught_up")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert consumer.status().handled_count == BACKLOG
    # All of it would be 500 bytes of text for each message, and more than that around it.
    assert peak < 500 * BACKLOG / 2

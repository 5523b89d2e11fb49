"""A resize is broken off at each of its requests: nothing is skipped, and it is repeated."""

from __future__ import annotations

import time
from typing import Any

import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    MessageDBError,
    PositionConflictError,
    StreamPositionStore,
    TablePositionStore,
)
from messagedb.consumers import GroupResize
from messagedb.testing import FaultProxy
from tests._async.consuming import record_numbers, write
from tests.support.background_async import Background

COUNT = 6
SIZE = 3
TOGETHER = 6
"""So many of them are broken off at the same time."""


def join(client: AsyncClient, category: str, store: Any, partitions: int | None) -> AsyncConsumer:
    """Make a consumer: without a group, or with partitions."""
    return AsyncConsumer(
        client,
        category,
        identifier="grown",
        position_store=store,
        partitions=partitions,
        lease_timeout=1.0,
    )


async def handle(client: AsyncClient, category: str, store: Any, partitions: int | None) -> Any:
    """Run such a consumer over what is there, and return the numbers that it handled."""
    consumer = join(client, category, store, partitions)
    seen = record_numbers(consumer)
    await consumer.run(until="caught_up")
    return sorted(seen)


async def resize(client: AsyncClient, category: str, store: Any) -> GroupResize:
    """Make a group of the consumer."""
    return await client.resize_consumer_group(
        category, identifier="grown", old_size=None, new_size=SIZE, position_store=store
    )


async def resize_again(client: AsyncClient, category: str, store: Any) -> GroupResize:
    """Make a group of it, when the server has noticed that the first call has ended."""
    until = time.monotonic() + 20
    while True:
        try:
            return await resize(client, category, store)
        except PositionConflictError as error:
            if "Stop it first" not in str(error) or time.monotonic() > until:
                raise


async def break_off(
    client: AsyncClient, store_url: str, category: str, store: Any, point: Any, request: int
) -> tuple[bool, bool]:
    """Break a resize off for ever at a request, and see that all goes on.

    Return whether it was broken off, and whether it had been done all the same.
    """
    await write(client, f"{category}-1", 0, COUNT)
    await write(client, f"{category}-2", COUNT, COUNT)
    handled = await handle(client, category, store, None)
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.url, command_timeout=0.5, timeout=0.5) as lossy:
            await lossy.stream_version(f"{category}-1")
            proxy.cut_at(point, times=10_000, skip=request)
            try:
                await resize(lossy, category, store)
            except MessageDBError:
                if not proxy.injected:
                    raise
            is_broken = proxy.injected > 0
    await write(client, f"{category}-1", 2 * COUNT, COUNT)
    # What was not done is not begun either: the consumer goes on as it was.
    try:
        handled += await handle(client, category, store, None)
        is_done = False
    except PositionConflictError as error:
        if f"resized to {SIZE} members" not in str(error):
            raise
        is_done = True
    again = await resize_again(client, category, store)
    assert (again.is_applied, again.max_redelivered) == (True, 0)
    assert await resize(client, category, store) == again
    await write(client, f"{category}-2", 3 * COUNT, COUNT)
    handled += await handle(client, category, store, SIZE)
    assert sorted(handled) == list(range(4 * COUNT))
    return is_broken, is_done


@pytest.mark.parametrize("point", ["before_request", "before_answer"])
@pytest.mark.parametrize(
    "store", [StreamPositionStore(), TablePositionStore()], ids=["stream", "table"]
)
async def test_a_resize_to_partitions_is_broken_off_at_each_of_its_requests(
    client: AsyncClient, store_url: str, category: str, store: Any, point: str
) -> None:
    outcomes: list[tuple[bool, bool]] = []
    while all(is_broken for is_broken, _ in outcomes):
        first = len(outcomes)
        calls = [
            Background(break_off, client, store_url, f"{category}{n}x", store, point, n)
            for n in range(first, first + TOGETHER)
        ]
        outcomes += [await call.result(60.0) for call in calls]
    broken = [is_done for is_broken, is_done in outcomes if is_broken]
    assert len(broken) > 5, outcomes
    # It is done as a whole, from one of its requests on.
    assert broken == sorted(broken)
    assert set(broken) == {False, True}

"""Tasks that are cancelled while their write waits for a group, or is on its way in one."""

from __future__ import annotations

import asyncio
import random

import pytest

from messagedb import AsyncClient, NewMessage
from messagedb.testing import FaultProxy
from tests.support.background_async import eventually
from tests.support.outcome import count_waiting, is_whole, pool_of
from tests.support.store import locked, stored, waiting_for_locks


async def test_a_write_that_waits_is_not_sent_after_its_task_was_cancelled(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, group_commit=True, max_size=3) as client:
        await client.open()
        pool = pool_of(client)
        taken = [await pool.getconn(5.0) for _ in range(3)]
        tasks = [
            asyncio.ensure_future(client.write_message(f"{category}-{n}", NewMessage("Tested")))
            for n in range(10)
        ]
        await eventually(lambda: pool.get_stats()["requests_waiting"] >= 2)
        for task in tasks[:5]:
            task.cancel()
        await asyncio.wait(tasks[:5])
        assert all(task.cancelled() for task in tasks[:5])
        for conn in taken:
            await pool.putconn(conn)
        assert await asyncio.gather(*tasks[5:]) == [0] * 5
        await eventually(lambda: is_whole(client))
    assert all(stored(store_url, f"{category}-{number}") == [] for number in range(5))


async def test_a_write_that_waits_for_a_locked_category_is_not_sent_either(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, group_commit=True, max_size=3) as client:
        with locked(store_url, category):
            tasks = [
                asyncio.ensure_future(client.write_message(f"{category}-{n}", NewMessage("T")))
                for n in range(6)
            ]
            # The first group has given up, and they wait for the lock in the second.
            await eventually(lambda: count_waiting(client)[1] == 1)
            await eventually(lambda: waiting_for_locks(store_url, category) == 2)
            for task in tasks[:4]:
                task.cancel()
            await asyncio.wait(tasks[:4])
            assert all(task.cancelled() for task in tasks[:4])
        assert await asyncio.gather(*tasks[4:]) == [0, 0]
        await eventually(lambda: is_whole(client))
    assert all(stored(store_url, f"{category}-{number}") == [] for number in range(4))


async def test_a_group_that_was_sent_goes_on_when_a_task_of_it_is_cancelled(
    store_url: str, category: str
) -> None:
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.url, group_commit=True, max_size=3) as client:
            with locked(store_url, f"{category}blocked"):
                first = asyncio.ensure_future(
                    client.write_message(f"{category}blocked-1", NewMessage("First"))
                )
                await eventually(lambda: waiting_for_locks(store_url, f"{category}blocked") == 1)
                proxy.stall_at("before_answer", "Marked")
                tasks = [
                    asyncio.ensure_future(
                        client.write_message(f"{category}-{n}", NewMessage("Marked"))
                    )
                    for n in range(6)
                ]
                await eventually(lambda: len(stored(store_url, f"{category}-5")) == 1)
                tasks[0].cancel()
                tasks[5].cancel()
                await asyncio.wait([tasks[0], tasks[5]])
                assert tasks[0].cancelled()
                assert tasks[5].cancelled()
                proxy.resume()
                assert await asyncio.gather(*tasks[1:5]) == [0] * 4
            assert await first == 0
            await eventually(lambda: is_whole(client))
    assert all(len(stored(store_url, f"{category}-{number}")) == 1 for number in range(6))


@pytest.mark.parametrize("seed", range(3))
async def test_tasks_cancelled_at_random_moments_disturb_no_other(
    store_url: str, category: str, seed: int
) -> None:
    rng = random.Random(seed)
    acknowledged: dict[str, list[int]] = {}

    async def work(client: AsyncClient, stream: str) -> None:
        while True:
            position = await client.write_message(stream, NewMessage("Tested"))
            acknowledged.setdefault(stream, []).append(position)

    async with AsyncClient(store_url, group_commit=True, max_size=4) as client:
        running: dict[str, asyncio.Task[None]] = {}
        for number in range(400):
            stream = f"{category}{number % 2}-{number}"
            running[stream] = asyncio.ensure_future(work(client, stream))
            if len(running) > 24:
                victim = running.pop(rng.choice(list(running)))
                await asyncio.sleep(rng.choice((0, 0, 0.001)))
                victim.cancel()
        for task in running.values():
            task.cancel()
        await asyncio.wait(running.values())
        await eventually(lambda: is_whole(client))
    for stream, positions in acknowledged.items():
        rows = stored(store_url, stream)
        # The last one may be stored although its task was cancelled.
        assert positions == list(range(len(positions)))
        assert len(positions) <= len(rows) <= len(positions) + 1
    assert len(acknowledged) > 50

"""A thousand tasks that are cancelled at random moments."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from messagedb import AsyncClient, NewMessage
from tests.support.background_async import eventually
from tests.support.outcome import is_whole

TASKS = 1000


async def test_a_thousand_tasks_cancelled_at_random_moments_leave_the_pool_whole(
    store_url: str, category: str
) -> None:
    rng = random.Random(1)
    loop = asyncio.get_running_loop()
    ends = {"cancelled": 0, "done": 0}
    async with AsyncClient(store_url, max_size=2, timeout=10.0, command_timeout=10.0) as client:
        stream = f"{category}-1"

        async def in_transaction() -> None:
            async with client.transaction(categories=[category]) as tx:
                await tx.write_message(stream, NewMessage("Written"))
                await tx.write_messages(stream, [NewMessage("Written"), NewMessage("Written")])

        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: client.write_message(stream, NewMessage("Written")),
            lambda: client.write_messages(stream, [NewMessage("Written") for _ in range(2)]),
            lambda: client.write_messages(stream, [NewMessage("Written") for _ in range(80)]),
            in_transaction,
            lambda: client.get_stream_messages(stream, batch_size=10),
        ]

        async def work() -> None:
            while True:
                await rng.choice(calls)()

        async def once() -> None:
            task = asyncio.ensure_future(work())
            loop.call_later(rng.uniform(0.0, 0.01), task.cancel)
            await asyncio.wait([task])
            ends["cancelled" if task.cancelled() else "done"] += 1

        for _ in range(TASKS // 4):
            # More tasks than connections: some wait for one.
            await asyncio.gather(once(), once(), once(), once())
        # Nothing but its cancellation has ended any of them.
        assert ends == {"cancelled": TASKS, "done": 0}
        await client.write_message(stream, NewMessage("Written"))
        await eventually(lambda: is_whole(client), 10.0)

"""A process of writers: it writes for a time with the named client, and prints how many writes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any

import msgspec
import psycopg
from psycopg import AsyncRawCursor
from psycopg_pool import AsyncConnectionPool

from messagedb import AsyncClient

from . import payload, rivals


class Job(msgspec.Struct, frozen=True):
    """The work to do.

    Attributes:
        conninfo: the store.
        number: the number of this process, which its streams have.
        tasks: the number of its tasks.
        categories: the categories that they write to.
    """

    conninfo: str
    number: int
    tasks: int
    categories: list[str]


class Turn(msgspec.Struct, frozen=True):
    """One turn: the size of a pool, 0 for group commit; its seconds; a category not to count."""

    size: int
    seconds: float
    locked: str = ""


async def main() -> None:
    """Take turns from standard input until it ends."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    pools: dict[int, AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]]] = {}
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(AsyncClient(job.conninfo, group_commit=True))
        while line := await asyncio.to_thread(sys.stdin.buffer.readline):
            turn = msgspec.json.decode(line, type=Turn)
            if turn.size and turn.size not in pools:
                options = {"autocommit": True, "prepare_threshold": 0}
                pool: AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]]
                pool = AsyncConnectionPool(
                    job.conninfo, min_size=turn.size, kwargs=options, open=False
                )
                pools[turn.size] = await stack.enter_async_context(pool)
            print(await _take(job, turn, client, pools.get(turn.size)), flush=True)


async def _take(
    job: Job, turn: Turn, client: AsyncClient, pool: AsyncConnectionPool[Any] | None
) -> int:
    """Write until the time is up, and return the number of writes that ended within it."""

    async def bare(stream: str) -> None:
        assert pool is not None
        async with pool.connection(60.0) as conn:
            await rivals.write_async(AsyncRawCursor(conn), stream)

    async def grouped(stream: str) -> None:
        await client.write_message(stream, payload.message())

    write: Callable[[str], Awaitable[None]] = bare if turn.size else grouped
    end = perf_counter() + turn.seconds

    async def work(task: int) -> int:
        category = job.categories[task % len(job.categories)]
        count = 0
        while perf_counter() < end:
            await write(f"{category}-{job.number}x{task}")
            count += perf_counter() < end and category != turn.locked
        return count

    return sum(await asyncio.gather(*(work(task) for task in range(job.tasks))))


if __name__ == "__main__":
    asyncio.run(main())

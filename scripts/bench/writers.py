"""Many concurrent writers: 64 tasks or threads, and pools of every size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import psycopg
from psycopg import AsyncRawCursor, RawCursor
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from messagedb import AsyncClient, Client

from . import payload, rivals
from .measure import Contender, Measure, measure, times_as_fast
from .report import RATE, Section
from .servers import with_settings
from .topic import Bench, Topic, opened

_WRITERS = 64
_SIZES = (1, 2, 4, 10, 20, 64)

_TASKS = "messagedb: 64 tasks on an AsyncClient"
_THREADS = "messagedb: 64 threads on a Client"
_BARE_TASKS = "psycopg: 64 tasks on a pool"
_BARE_THREADS = "psycopg: 64 threads on a pool"
_MESSAGE_DB_PY = "message-db-py: 64 threads, its own pool of 64"

# Of the pools, beside the connections that each of them may have.
_SPARE_CONNECTIONS = 10


def run(bench: Bench) -> Iterator[Section]:
    """Measure into many categories and into one, with and without waiting for the disk."""
    free = bench.server.free_connections()
    wanted = bench.pick(_SIZES, (4,))
    sizes = [size for size in wanted if 4 * size + _SPARE_CONNECTIONS <= free]
    # message-db-py takes its turns at the largest size that leaves it its own connections.
    with_room = [size for size in sizes if 4 * size + _WRITERS + _SPARE_CONNECTIONS <= free]
    last = max(with_room, default=0)
    with bench.server.genuine() as genuine, ThreadPoolExecutor(_WRITERS) as threads:
        for commit in bench.pick(("on", "off"), ("off",)):
            conninfo = with_settings(genuine.conninfo, synchronous_commit=commit)
            for categories in (_WRITERS, 1):
                streams = _streams(categories)
                measures = [
                    each
                    for size in sizes
                    for each in _at_size(bench, threads, conninfo, streams, size, size == last)
                ]
                lacking = len(sizes) < len(wanted) or not last
                yield _section(categories, commit, measures, str(last), lacking)


def _section(
    categories: int, commit: str, measures: list[Measure], last: str, lacking: bool
) -> Section:
    found = {(each.name, each.x): each for each in measures}
    pairs = ((_TASKS, _BARE_TASKS), (_THREADS, _BARE_THREADS))
    message_db_py = [each for each in measures if each.name == _MESSAGE_DB_PY]
    return Section(
        title=f"into {'one category' if categories == 1 else f'{categories} categories'}, "
        f"synchronous_commit {commit}",
        unit=RATE,
        measures=measures,
        comparisons=[
            *(
                times_as_fast(each, found[rival, x])
                for ours, rival in pairs
                for (name, x), each in found.items()
                if name == ours
            ),
            *(times_as_fast(found[_THREADS, last], each) for each in message_db_py),
        ],
        axis="max_size of the pool",
        note="Sizes for which this server has too few connections are omitted." if lacking else "",
    )


def _streams(categories: int) -> list[str]:
    names = [payload.category("writer") for _ in range(categories)]
    return [payload.stream(names[number % categories]) for number in range(_WRITERS)]


def _at_size(
    bench: Bench,
    threads: ThreadPoolExecutor,
    conninfo: str,
    streams: list[str],
    size: int,
    with_message_db_py: bool,
) -> list[Measure]:
    writes = bench.pick(8, 1)
    arguments = {"autocommit": True, "prepare_threshold": 0}
    with asyncio.Runner() as runner, ExitStack() as stack:
        client = stack.enter_context(Client(conninfo, min_size=size, max_size=size))
        pool = stack.enter_context(
            ConnectionPool(conninfo, min_size=size, kwargs=arguments, open=False)
        )
        async_client = stack.enter_context(
            opened(runner, AsyncClient(conninfo, min_size=size, max_size=size))
        )
        async_pool: AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]]
        async_pool = AsyncConnectionPool(conninfo, min_size=size, kwargs=arguments, open=False)
        stack.enter_context(opened(runner, async_pool))

        def bare(stream: str) -> None:
            with pool.connection() as conn:
                rivals.write(RawCursor(conn), stream)

        async def ours_async(stream: str) -> None:
            for _ in range(writes):
                await async_client.write_message(stream, payload.message())

        async def bare_async(stream: str) -> None:
            for _ in range(writes):
                async with async_pool.connection() as conn:
                    await rivals.write_async(AsyncRawCursor(conn), stream)

        async def all_tasks(write: Callable[[str], Any]) -> None:
            await asyncio.gather(*(write(stream) for stream in streams))

        def ours(stream: str) -> None:
            client.write_message(stream, payload.message())

        operations: dict[str, Callable[[], object]] = {
            _TASKS: lambda: runner.run(all_tasks(ours_async)),
            _BARE_TASKS: lambda: runner.run(all_tasks(bare_async)),
            _THREADS: lambda: _all_threads(threads, streams, writes, ours),
            _BARE_THREADS: lambda: _all_threads(threads, streams, writes, bare),
        }
        places = dict.fromkeys(operations, str(size))
        if with_message_db_py:
            # Its pool does not wait: with fewer connections than threads it fails.
            theirs = stack.enter_context(closing(rivals.MessageDbPy(conninfo, _WRITERS)))
            operations[_MESSAGE_DB_PY] = lambda: _all_threads(
                threads, streams, writes, theirs.write
            )
            places[_MESSAGE_DB_PY] = str(_WRITERS)
        return measure(
            [
                Contender(name, operation, _WRITERS * writes, places[name])
                for name, operation in operations.items()
            ],
            bench.rounds,
            bench.pick(2, 1),
        )


def _all_threads(
    threads: ThreadPoolExecutor,
    streams: Sequence[str],
    writes: int,
    write: Callable[[str], object],
) -> None:
    def work(stream: str) -> None:
        for _ in range(writes):
            write(stream)

    for _ in threads.map(work, streams):
        pass


TOPIC = Topic(
    "writers",
    "Many writers",
    "64 asyncio tasks on one AsyncClient and 64 threads on one Client write single messages into"
    " a genuine Message DB, each writer to a separate stream; beside them bare prepared calls on"
    " psycopg_pool with as many connections. message-db-py closes all connections but one when"
    " they are returned to its pool. For information.",
    run,
)

"""Single writes of many tasks, threads and processes, with group commit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from time import perf_counter
from typing import Any, Final

import psycopg
from psycopg import AsyncRawCursor, RawCursor
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from messagedb import AsyncClient, Client

from . import entity_groups, group_commit_processes, payload, rivals
from .measure import Contender, Measure, measure, times_as_fast
from .report import MILLISECONDS, RATE, Section
from .servers import with_settings
from .topic import Bench, Topic, opened

GROUPED: Final = "messagedb: group_commit=True"
PLAIN: Final = "messagedb: as by default"
BARE: Final = "psycopg: a pool of {}"
_SIZES: Final = (4, 8, 16, 32)
_BARE_OPTIONS: Final = {"autocommit": True, "prepare_threshold": 0}

# The wanted factors beside the best of the pools, by the setting of synchronous_commit, the number
# of writers and that of categories; for one writer beside the client as by default.
_WANTED: Final = {
    ("on", 8, 8): 0.9,
    ("on", 64, 64): 2.5,
    ("on", 256, 256): 3.0,
    ("on", 64, 1): 4.0,
    ("off", 64, 64): 1.4,
    ("off", 256, 256): 1.4,
    ("off", 64, 1): 1.7,
}
_WANTED_OF_THREADS: Final = {("on", 8): 0.75, ("on", 64): 1.7}
_WANTED_ALONE: Final = 0.95

AsyncWrite = Callable[[str], Awaitable[object]]
Write = Callable[[str], object]


def run(bench: Bench) -> Iterator[Section]:
    """Measure tasks, threads, processes, and commands to entities."""
    sizes = bench.pick(_SIZES, (4,))
    cases = bench.pick(((1, 1), (8, 8), (64, 64), (256, 256), (64, 1)), ((8, 8),))
    with bench.server.genuine() as genuine:
        for commit in bench.pick(("on", "off"), ("off",)):
            conninfo = with_settings(genuine.conninfo, synchronous_commit=commit)
            for tasks, categories in cases:
                yield from _of_tasks(bench, conninfo, commit, sizes, tasks, categories)
        for commit in bench.pick(("on", "off"), ("off",)):
            conninfo = with_settings(genuine.conninfo, synchronous_commit=commit)
            for count in bench.pick((8, 64), (4,)):
                yield from _of_threads(bench, conninfo, commit, sizes, count)
        yield from group_commit_processes.run(bench, genuine.conninfo)
        yield from entity_groups.run(bench, genuine.conninfo)


def _streams(writers: int, categories: int) -> list[str]:
    names = [payload.category("grouped") for _ in range(categories)]
    return [payload.stream(names[number % categories]) for number in range(writers)]


def _sections(
    title: str, measures: list[Measure], waits: dict[str, list[float]], wanted: float | None
) -> Iterator[Section]:
    """Yield the rates, and the 99th percentiles of the times of single writes."""
    found = {each.name: each for each in measures}
    pools = [each for each in measures if each.name not in (GROUPED, PLAIN)]
    best = min(pools, key=lambda each: each.median)
    alone = title.startswith("1 ")
    yield Section(
        title=title,
        unit=RATE,
        measures=measures,
        comparisons=[
            times_as_fast(found[GROUPED], best, None if alone else wanted),
            times_as_fast(found[GROUPED], found[PLAIN], _WANTED_ALONE if alone else None),
        ],
        note="The pool beside which it is compared is the fastest of them.",
    )
    rounds = len(measures[0].samples)
    late = {
        name: Measure(name=name, samples=waits[name][-rounds:]) for name in (GROUPED, best.name)
    }
    yield Section(
        title=f"{title}: 99 % within",
        unit=MILLISECONDS,
        measures=list(late.values()),
        comparisons=[times_as_fast(late[GROUPED], late[best.name], None if alone else 1.0)],
    )


def _percentile(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]


def _of_tasks(
    bench: Bench, conninfo: str, commit: str, sizes: Sequence[int], tasks: int, categories: int
) -> Iterator[Section]:
    streams = _streams(tasks, categories)
    each = bench.pick(max(4000 // tasks, 20) if tasks > 1 else 500, 2)
    waits: dict[str, list[float]] = {}
    with asyncio.Runner() as runner, ExitStack() as stack:

        def contend(name: str, write: AsyncWrite) -> Contender:
            async def work(stream: str) -> list[float]:
                seconds: list[float] = []
                for _ in range(each):
                    begun = perf_counter()
                    await write(stream)
                    seconds.append(perf_counter() - begun)
                return seconds

            async def together() -> None:
                found = await asyncio.gather(*(work(stream) for stream in streams))
                waits.setdefault(name, []).append(
                    _percentile([one for mine in found for one in mine])
                )

            return Contender(name, lambda: runner.run(together()), tasks * each)

        def ours(client: AsyncClient) -> AsyncWrite:
            return lambda stream: client.write_message(stream, payload.message())

        def bare(pool: AsyncConnectionPool[Any]) -> AsyncWrite:
            async def write(stream: str) -> None:
                async with pool.connection() as conn:
                    await rivals.write_async(AsyncRawCursor(conn), stream)

            return write

        grouped = stack.enter_context(opened(runner, AsyncClient(conninfo, group_commit=True)))
        plain = stack.enter_context(opened(runner, AsyncClient(conninfo)))
        contenders = [contend(GROUPED, ours(grouped)), contend(PLAIN, ours(plain))]
        for size in sizes:
            pool: AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]]
            pool = AsyncConnectionPool(conninfo, min_size=size, kwargs=_BARE_OPTIONS, open=False)
            stack.enter_context(opened(runner, pool))
            contenders.append(contend(BARE.format(size), bare(pool)))
        measures = measure(contenders, bench.rounds)
    noun = "task" if tasks == 1 else "tasks"
    title = f"{tasks} {noun} into {_name(categories)}, synchronous_commit {commit}"
    yield from _sections(title, measures, waits, _WANTED.get((commit, tasks, categories)))


def _of_threads(
    bench: Bench, conninfo: str, commit: str, sizes: Sequence[int], count: int
) -> Iterator[Section]:
    streams = _streams(count, count)
    each = bench.pick(max(3000 // count, 20), 2)
    waits: dict[str, list[float]] = {}
    with ThreadPoolExecutor(count) as threads, ExitStack() as stack:

        def contend(name: str, write: Write) -> Contender:
            def work(stream: str) -> list[float]:
                seconds: list[float] = []
                for _ in range(each):
                    begun = perf_counter()
                    write(stream)
                    seconds.append(perf_counter() - begun)
                return seconds

            def together() -> None:
                found = [one for mine in threads.map(work, streams) for one in mine]
                waits.setdefault(name, []).append(_percentile(found))

            return Contender(name, together, count * each)

        def ours(client: Client) -> Write:
            return lambda stream: client.write_message(stream, payload.message())

        def bare(pool: ConnectionPool[Any]) -> Write:
            def write(stream: str) -> None:
                with pool.connection() as conn:
                    rivals.write(RawCursor(conn), stream)

            return write

        grouped = stack.enter_context(Client(conninfo, group_commit=True))
        plain = stack.enter_context(Client(conninfo))
        contenders = [contend(GROUPED, ours(grouped)), contend(PLAIN, ours(plain))]
        for size in sizes:
            pool = stack.enter_context(
                ConnectionPool(conninfo, min_size=size, kwargs=_BARE_OPTIONS, open=False)
            )
            contenders.append(contend(BARE.format(size), bare(pool)))
        measures = measure(contenders, bench.rounds)
    title = f"{count} threads into {_name(count)}, synchronous_commit {commit}"
    yield from _sections(title, measures, waits, _WANTED_OF_THREADS.get((commit, count)))


def _name(categories: int) -> str:
    return "one category" if categories == 1 else f"{categories} categories"


TOPIC = Topic(
    "group_commit",
    "Group commit",
    "Tasks of an AsyncClient, threads of a Client and processes write single messages into a"
    " genuine Message DB, each to a separate stream; beside them bare prepared calls on a pool of"
    " psycopg_pool with 4, 8, 16 and 32 connections, of which the fastest counts. Then tasks send"
    " commands to entities, with group commit and without.",
    run,
)

"""Concurrent commands to one entity: the rate, and how often they are decided."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from messagedb import AsyncClient, AsyncEntityStore, Client, EntityStore

from . import payload
from .accounts import COMMAND, DECIDER
from .measure import Contender, Measure, measure, times_as_fast
from .report import COMMANDS, Section
from .topic import Bench, Topic, opened

_SENDERS = 32
# More than any sender needs: giving up is not measured.
_ATTEMPTS = 10_000
_DEFAULT_ATTEMPTS = 4
_WANTED = 1.0


def run(bench: Bench) -> Iterator[Section]:
    """Measure both variants."""
    each = bench.pick(30, 2)
    with bench.server.genuine() as genuine:
        with ExitStack() as stack:
            client = stack.enter_context(Client(genuine.conninfo))
            threads = stack.enter_context(ThreadPoolExecutor(_SENDERS))
            yield from _sync(bench, client, threads, each)
        with asyncio.Runner() as runner, ExitStack() as stack:
            other = stack.enter_context(opened(runner, AsyncClient(genuine.conninfo)))
            yield from _async(bench, runner, other, each)


def _sync(
    bench: Bench, client: Client, threads: ThreadPoolExecutor, each: int
) -> Iterator[Section]:
    store: EntityStore[Any, Any] = EntityStore(
        client, payload.category("contended"), decider=DECIDER
    )
    runs: list[list[int]] = []

    def send(id: str) -> list[int]:
        return [store.transact(id, COMMAND, max_attempts=_ATTEMPTS).attempts for _ in range(each)]

    def together() -> None:
        found = threads.map(send, ["1"] * _SENDERS)
        runs.append([attempts for mine in found for attempts in mine])

    def alone() -> None:
        for _ in range(_SENDERS):
            send("2")

    yield from _sections(bench, "thread", together, alone, each, runs)


def _async(
    bench: Bench, runner: asyncio.Runner, client: AsyncClient, each: int
) -> Iterator[Section]:
    store: AsyncEntityStore[Any, Any] = AsyncEntityStore(
        client, payload.category("contended"), decider=DECIDER
    )
    runs: list[list[int]] = []

    async def send(id: str) -> list[int]:
        return [
            (await store.transact(id, COMMAND, max_attempts=_ATTEMPTS)).attempts
            for _ in range(each)
        ]

    async def together() -> None:
        found = await asyncio.gather(*(send("1") for _ in range(_SENDERS)))
        runs.append([attempts for mine in found for attempts in mine])

    async def alone() -> None:
        for _ in range(_SENDERS):
            await send("2")

    yield from _sections(
        bench, "task", lambda: runner.run(together()), lambda: runner.run(alone()), each, runs
    )


def _sections(
    bench: Bench,
    sender: str,
    together: Callable[[], None],
    alone: Callable[[], None],
    each: int,
    runs: list[list[int]],
) -> Iterator[Section]:
    many, one = f"messagedb: {_SENDERS} concurrent {sender}s", f"messagedb: one {sender}"
    count = _SENDERS * each
    measures = measure(
        [Contender(many, together, count), Contender(one, alone, count)], bench.rounds
    )
    yield Section(
        title=f"{sender}s, one entity",
        unit=COMMANDS,
        measures=measures,
        comparisons=[times_as_fast(measures[0], measures[1], _WANTED)],
    )
    timed = runs[1:]
    yield Section(
        title=f"{sender}s, how often the commands of {_SENDERS} were decided",
        unit="attempts",
        measures=[
            Measure(name="messagedb: on average", samples=[sum(run) / len(run) for run in timed]),
            Measure(name="messagedb: at most", samples=[float(max(run)) for run in timed]),
        ],
    )
    yield Section(
        title=f"{sender}s, decided more than {_DEFAULT_ATTEMPTS} times",
        unit="% of the commands",
        measures=[
            Measure(
                name=f"messagedb: {_SENDERS} concurrent {sender}s",
                samples=[
                    100 * sum(attempts > _DEFAULT_ATTEMPTS for attempts in run) / len(run)
                    for run in timed
                ],
            )
        ],
        note="With the default of max_attempts these would have given up.",
    )


TOPIC = Topic(
    "contended",
    "Commands to one entity",
    "32 threads or tasks share one EntityStore (and a pool of 10 connections), and each sends "
    "commands to the same entity, one after the other, with max_attempts so high that none gives "
    "up; beside it one that sends as many alone. Each command is one event in a genuine Message "
    "DB. Commands that wait for the entity are stored in one batch.",
    run,
)

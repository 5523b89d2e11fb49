"""Consumers: a backlog through handlers that do nothing, beside reading its pages."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    Client,
    Consumer,
    Context,
    Message,
    TablePositionStore,
)

from . import payload
from .filling import fill_category
from .measure import Contender, measure, times_as_fast
from .report import RATE, Section
from .topic import Bench, Topic, opened

_PAGES = "messagedb: get_category_messages, page by page"
_CONSUMER = "messagedb: consumer, a handler that does nothing"
_TABLE = "messagedb: the same, its position in the table"
_EIGHT = "messagedb: consumer, concurrency=8"
_TRANSACTIONAL = "messagedb: consumer, transactional=True"
_WANTED = 0.6

_numbers = itertools.count()


def run(bench: Bench) -> Iterator[Section]:
    """Measure both variants on one backlog."""
    count, few = bench.pick((100_000, 2_000), (2_000, 50))
    category = payload.category("backlog")
    with bench.server.ours() as ours:
        fill_category(ours, category, count, 1000)
        with ExitStack() as stack:
            client = stack.enter_context(Client(ours.conninfo))
            contenders = [
                Contender(_PAGES, lambda: _read(client, category), count),
                Contender(_CONSUMER, _sync(client, category, count), count),
                Contender(
                    _TABLE,
                    _sync(client, category, count, position_store=TablePositionStore()),
                    count,
                ),
                Contender(_EIGHT, _sync(client, category, count, concurrency=8), count),
            ]
            yield _section("sync", count, contenders, bench.rounds)
        with asyncio.Runner() as runner, ExitStack() as stack:
            other = stack.enter_context(opened(runner, AsyncClient(ours.conninfo)))
            contenders = [
                Contender(_PAGES, lambda: runner.run(_read_async(other, category)), count),
                Contender(_CONSUMER, _async(runner, other, category, count), count),
                Contender(
                    _TABLE,
                    _async(runner, other, category, count, position_store=TablePositionStore()),
                    count,
                ),
                Contender(_EIGHT, _async(runner, other, category, count, concurrency=8), count),
            ]
            yield _section("async", count, contenders, bench.rounds)
        small = payload.category("backlog")
        fill_category(ours, small, few, 100)
        with ExitStack() as stack:
            client = stack.enter_context(Client(ours.conninfo))
            handled = _sync(client, small, few, transactional=True)
            measures = measure([Contender(_TRANSACTIONAL, handled, few)], bench.rounds)
        yield Section(
            title=f"sync, {few:,} messages, each with its position in a transaction",
            unit=RATE,
            measures=measures,
            note="One commit for each message: the disk decides.",
        )


def _section(group: str, count: int, contenders: list[Contender], rounds: int) -> Section:
    measures = measure(contenders, rounds)
    pages, consumer, table, eight = measures
    return Section(
        title=f"{group}, a backlog of {count:,} messages",
        unit=RATE,
        measures=measures,
        comparisons=[
            times_as_fast(consumer, pages, _WANTED),
            times_as_fast(table, pages),
            times_as_fast(eight, pages),
        ],
    )


def _read(client: Client, category: str) -> None:
    position = 1
    while page := client.get_category_messages(category, position=position, batch_size=1000):
        position = page[-1].global_position + 1


async def _read_async(client: AsyncClient, category: str) -> None:
    position = 1
    while page := await client.get_category_messages(category, position=position, batch_size=1000):
        position = page[-1].global_position + 1


def _sync(client: Client, category: str, count: int, **options: Any) -> Callable[[], None]:
    def run() -> None:
        consumer = Consumer(client, category, identifier=f"sync{next(_numbers)}", **options)

        @consumer.handler(payload.TYPE)
        def handle(message: Message[Any], context: Context) -> None:
            pass

        consumer.run(until="caught_up")
        _check(consumer.status().handled_count, count)

    return run


def _async(
    runner: asyncio.Runner, client: AsyncClient, category: str, count: int, **options: Any
) -> Callable[[], None]:
    def run() -> None:
        consumer = AsyncConsumer(client, category, identifier=f"async{next(_numbers)}", **options)

        @consumer.handler(payload.TYPE)
        async def handle(message: Message[Any]) -> None:
            pass

        runner.run(consumer.run(until="caught_up"))
        _check(consumer.status().handled_count, count)

    return run


def _check(handled: int, count: int) -> None:
    if handled != count:
        raise RuntimeError(f"the consumer has handled {handled} of {count} messages")


TOPIC = Topic(
    "consumers",
    "Consumers",
    "A category in 1,000 streams is handled from its beginning to its end by a consumer with the "
    "default settings (a position every 100 messages, beside the handlers), whose handler does "
    "nothing; and read page by page by the same client, which does nothing with it. Starting and "
    "stopping the consumer, with its lease, is part of the time.",
    run,
)

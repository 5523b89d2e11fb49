"""Notifications: the latency of a message with and without them, and their cost."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from time import perf_counter, sleep
from typing import Any

from messagedb import Client, Consumer, Message, schema

from . import payload
from .measure import Comparison, Contender, Measure, measure, times_as_fast
from .report import MILLISECONDS, RATE, Section
from .servers import Database
from .topic import Bench, Topic, repeated

_POLL_INTERVAL = 0.1
_POLLED = "messagedb: polling every 100 ms"
_NOTIFIED = "messagedb: notify=True"
_PLAIN = "messagedb: without the trigger"
_WITH_TRIGGER = "messagedb: with the trigger"


def run(bench: Bench) -> Iterator[Section]:
    """Measure the latency of both, then writes with the trigger and without."""
    samples, writes = bench.pick((60, 1_000), (3, 20))
    with bench.server.ours() as ours:
        schema.install_notify(ours.admin)
        yield _latency(ours, samples)
        yield from _cost(bench, ours, writes)


def _latency(database: Database, count: int) -> Section:
    with Client(database.conninfo) as client, Client(database.conninfo) as writer:
        measures = [
            Measure(name=name, samples=_seconds_to_handler(client, writer, count, notify))
            for name, notify in ((_POLLED, False), (_NOTIFIED, True))
        ]
    polled, notified = measures
    return Section(
        title="from the commit to the handler, both in one process",
        unit=MILLISECONDS,
        measures=measures,
        comparisons=[
            _of_the_interval(polled, None),
            _of_the_interval(notified, 0.1),
        ],
        note="One sample for each message; they are written at random moments.",
    )


def _seconds_to_handler(client: Client, writer: Client, count: int, notify: bool) -> list[float]:
    category, handled = payload.category("latency"), dict[int, float]()
    consumer = Consumer(
        client, category, identifier="latency", poll_interval=_POLL_INTERVAL, notify=notify
    )

    @consumer.handler(payload.TYPE)
    def handle(message: Message[Any]) -> None:
        handled[message.position] = perf_counter()

    stream, committed = payload.stream(category), dict[int, float]()
    with consumer.running():
        for _ in range(count):
            sleep(random.uniform(0.05, 0.25))
            position = writer.write_message(stream, payload.message())
            committed[position] = perf_counter()
        consumer.wait_until_caught_up(timeout=10)
    return [max(handled[position] - moment, 0.0) for position, moment in committed.items()]


def _of_the_interval(measure: Measure, wanted: float | None) -> Comparison:
    parts = [sample / _POLL_INTERVAL for sample in measure.samples]
    return Comparison(
        name=f"{measure.name}: the median, in poll intervals",
        value=measure.median / _POLL_INTERVAL,
        low=min(parts),
        high=max(parts),
        unit="× 100 ms",
        wanted=wanted,
        at_most=wanted is not None,
    )


def _cost(bench: Bench, database: Database, writes: int) -> Iterator[Section]:
    for threads in bench.pick((1, 8), (2,)):
        streams = [payload.stream(payload.category("notified")) for _ in range(threads)]
        with ThreadPoolExecutor(threads) as executor, ExitStack() as stack:
            client = stack.enter_context(
                Client(database.conninfo, min_size=threads, max_size=threads)
            )
            write = _writer(executor, client, streams, max(writes // threads, 1))
            count = max(writes // threads, 1) * threads
            contenders = [
                Contender(_PLAIN, _switched(database, write, "DISABLE"), count),
                Contender(_WITH_TRIGGER, _switched(database, write, "ENABLE"), count),
            ]
            measures = measure(contenders, bench.rounds)
        plain, notified = measures
        yield Section(
            title=f"writes of {threads} thread{'s' if threads > 1 else ''}, each to a separate"
            " category",
            unit=RATE,
            measures=measures,
            comparisons=[times_as_fast(notified, plain)],
            note="Commits that notify wait for each other: PostgreSQL has one queue.",
        )


def _writer(
    executor: ThreadPoolExecutor, client: Client, streams: list[str], each: int
) -> Callable[[], None]:
    def to(stream: str) -> None:
        repeated(each, lambda: client.write_message(stream, payload.message()))()

    def run() -> None:
        for _ in executor.map(to, streams):
            pass

    return run


def _switched(database: Database, write: Callable[[], None], word: str) -> Callable[[], None]:
    def run() -> None:
        database.run(f"ALTER TABLE message_store.messages {word} TRIGGER messagedb_notify")
        write()

    return run


TOPIC = Topic(
    "notify",
    "Notifications",
    "A consumer waits for messages that another client writes at random moments; the time is that "
    "from the end of write_message to the beginning of the handler. Then the same writes are done "
    "with the trigger that notifies and with it disabled, without a listener; switching it is part "
    "of the time.",
    run,
)

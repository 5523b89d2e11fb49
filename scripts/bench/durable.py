"""Durability: the cost of waiting for the disk, and the gain of a pool of some size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from messagedb import Client

from . import payload
from .measure import Contender, measure, times_as_fast
from .report import MICROSECONDS, RATE, Section
from .servers import Database, with_settings
from .topic import Bench, Topic, repeated

_THREADS = 16
_SIZES = (1, 4, 16)
_COMMITS = ("on", "off")


def run(bench: Bench) -> Iterator[Section]:
    """Measure one writer, and 16 threads on pools of some sizes."""
    with bench.server.genuine() as genuine:
        yield _one_writer(bench, genuine, "single write", bench.pick(50, 5), _single)
        yield _one_writer(bench, genuine, "batch of 100", bench.pick(5, 1), _batch)
        yield _threads(bench, genuine)


def _client(stack: ExitStack, database: Database, commit: str, size: int = 1) -> Client:
    conninfo = with_settings(database.conninfo, synchronous_commit=commit)
    return stack.enter_context(Client(conninfo, min_size=size, max_size=size))


def _single(client: Client) -> Callable[[], object]:
    stream = payload.stream(payload.category("durable"))
    return lambda: client.write_message(stream, payload.message())


def _batch(client: Client) -> Callable[[], object]:
    category = payload.category("durable")
    return lambda: client.write_messages(
        payload.stream(category), [payload.message() for _ in range(100)]
    )


def _one_writer(
    bench: Bench,
    database: Database,
    title: str,
    count: int,
    operation: Callable[[Client], Callable[[], object]],
) -> Section:
    with ExitStack() as stack:
        measures = measure(
            [
                Contender(
                    f"messagedb: synchronous_commit {commit}",
                    repeated(count, operation(_client(stack, database, commit))),
                    count,
                )
                for commit in _COMMITS
            ],
            bench.rounds,
            bench.pick(4, 1),
        )
    waiting, not_waiting = measures
    return Section(
        title=f"one writer, {title}",
        unit=MICROSECONDS,
        measures=measures,
        comparisons=[times_as_fast(not_waiting, waiting)],
    )


def _threads(bench: Bench, database: Database) -> Section:
    writes = bench.pick(20, 1)
    streams = [payload.stream(payload.category("durable")) for _ in range(_THREADS)]
    with ExitStack() as stack, ThreadPoolExecutor(_THREADS) as threads:

        def all_threads(client: Client) -> None:
            def work(stream: str) -> None:
                for _ in range(writes):
                    client.write_message(stream, payload.message())

            for _ in threads.map(work, streams):
                pass

        def contender(commit: str, size: int) -> Contender:
            client = _client(stack, database, commit, size)
            name = f"messagedb: synchronous_commit {commit}"
            return Contender(name, lambda: all_threads(client), writes * _THREADS, str(size))

        measures = measure(
            [contender(commit, size) for commit in _COMMITS for size in _SIZES], bench.rounds
        )
    return Section(
        title=f"{_THREADS} threads, single writes into as many categories",
        unit=RATE,
        measures=measures,
        axis="max_size of the pool",
    )


TOPIC = Topic(
    "durable",
    "Durability",
    "What waiting for the disk costs on this server (fsync as shown above), by the session's "
    "synchronous_commit. For information.",
    run,
)

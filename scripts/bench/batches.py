"""Batches: many messages to one stream, all or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import NamedTuple

import psycopg

from messagedb import Client

from . import payload, rivals
from .measure import Comparison, Contender, Measure, measure, times_as_fast
from .report import RATE, Section
from .servers import Database
from .topic import Bench, Topic, repeated


class _Wanted(NamedTuple):
    """The smallest factor by which a batch should be faster than each rival."""

    message_db_py: float | None = None
    eventsourcing: float | None = None
    pipeline: float | None = None


_SIZES = {
    1000: _Wanted(message_db_py=8, eventsourcing=1.15, pipeline=2.5),
    100: _Wanted(message_db_py=5),
    10: _Wanted(message_db_py=2.3),
}
_OURS = "messagedb: write_messages"
_MESSAGE_DB_PY = "message-db-py: write_batch"
_PIPELINE = "psycopg: pipeline of write_message"
_EVENTSOURCING = "eventsourcing: insert_events"
_EVENTSOURCING_FUNCTIONS = "eventsourcing: insert_events, DB functions"


class _Writers(NamedTuple):
    """The contenders that write."""

    ours: Client
    message_db_py: rivals.MessageDbPy
    plain: rivals.EventSourcing
    functions: rivals.EventSourcing
    conn: psycopg.Connection[tuple[object, ...]]


def run(bench: Bench) -> Iterator[Section]:
    """Measure batches of each size, and one that is too large for the rivals."""
    with ExitStack() as stack:
        genuine = stack.enter_context(bench.server.genuine())
        plain = stack.enter_context(bench.server.empty("eventsourcing"))
        functions = stack.enter_context(bench.server.empty("eventsourcing_functions"))
        writers = _open(stack, genuine, plain, functions)
        for size, wanted in _SIZES.items():
            yield _section(bench, writers, bench.pick(size, size // 10), wanted)
        yield _large(bench, writers.ours)


def _open(stack: ExitStack, genuine: Database, plain: Database, functions: Database) -> _Writers:
    return _Writers(
        stack.enter_context(Client(genuine.conninfo)),
        stack.enter_context(closing(rivals.MessageDbPy(genuine.conninfo))),
        stack.enter_context(closing(rivals.EventSourcing(plain.admin, functions=False))),
        stack.enter_context(closing(rivals.EventSourcing(functions.admin, functions=True))),
        stack.enter_context(rivals.connect(genuine.conninfo)),
    )


def _section(bench: Bench, writers: _Writers, size: int, wanted: _Wanted) -> Section:
    # About the same number of messages in each run, for each size of a batch.
    batches = max(1, bench.pick(1000, 100) // size)

    def to_new_streams(write: Callable[[str], object]) -> Callable[[], None]:
        category = payload.category("batch")
        return repeated(batches, lambda: write(payload.stream(category)))

    operations = batches * size
    measures = measure(
        [
            Contender(_OURS, to_new_streams(_ours(writers.ours, size)), operations),
            Contender(
                _MESSAGE_DB_PY,
                to_new_streams(lambda stream: writers.message_db_py.write_batch(stream, size)),
                operations,
            ),
            Contender(
                _PIPELINE,
                to_new_streams(lambda stream: rivals.write_pipelined(writers.conn, stream, size)),
                operations,
            ),
            Contender(
                _EVENTSOURCING,
                repeated(batches, lambda: writers.plain.insert_events(size)),
                operations,
            ),
            Contender(
                _EVENTSOURCING_FUNCTIONS,
                repeated(batches, lambda: writers.functions.insert_events(size)),
                operations,
            ),
        ],
        bench.rounds,
        bench.pick(4, 1),
    )
    return Section(
        title=f"batches of {size:,} messages",
        unit=RATE,
        measures=measures,
        comparisons=_comparisons(measures, wanted),
    )


def _ours(client: Client, size: int) -> Callable[[str], object]:
    return lambda stream: client.write_messages(stream, [payload.message() for _ in range(size)])


def _comparisons(measures: list[Measure], wanted: _Wanted) -> list[Comparison]:
    ours, message_db_py, pipeline, *eventsourcing = measures
    faster = min(eventsourcing, key=lambda each: each.median)
    return [
        times_as_fast(ours, message_db_py, wanted.message_db_py),
        times_as_fast(ours, pipeline, wanted.pipeline),
        *(
            # The faster of the two ways is the rival; the other one is shown beside it.
            times_as_fast(ours, each, wanted.eventsourcing if each is faster else None)
            for each in eventsourcing
        ),
    ]


def _large(bench: Bench, client: Client) -> Section:
    size = bench.pick(10_000, 200)
    write = _ours(client, size)
    category = payload.category("batch")
    ours = Contender(_OURS, lambda: write(payload.stream(category)), size)
    return Section(
        title=f"batches of {size:,} messages, for information",
        unit=RATE,
        measures=measure([ours], bench.rounds),
    )


TOPIC = Topic(
    "batches",
    "Batches",
    "Messages are written to a new stream of a genuine Message DB in each batch, all or none;"
    " eventsourcing stores as many events of a new originator in its own table."
    " synchronous_commit is as the server has it. Encoding the data and making the ids is part of"
    " the time.",
    run,
)

"""Our own SQL of the interface beside the genuine one: the same statements, by bare psycopg."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

from psycopg import RawCursor

from . import payload, rivals
from .filling import fill_category
from .measure import Contender, measure, times_as_fast
from .report import MILLISECONDS, RATE, Section
from .topic import Bench, Topic, repeated

_OURS = "messagedb: its own SQL"
_GENUINE = "Message DB: the genuine SQL"

_WRITE_MANY = b"""
SELECT count(message_store.write_message(
    gen_random_uuid()::varchar, $1::varchar, $2::varchar, $3::jsonb))
FROM generate_series(1, $4::int)
"""

Cursor = RawCursor[tuple[object, ...]]


def run(bench: Bench) -> Iterator[Section]:
    """Measure group reads, writes without a network, and a category's pages."""
    count, streams = bench.pick((100_000, 1000), (2000, 100))
    page_size = bench.pick(1000, 100)
    category = payload.category("schema")
    with ExitStack() as stack:
        cursors: list[Cursor] = []
        for make in (bench.server.ours, bench.server.genuine):
            database = stack.enter_context(make())
            fill_category(database, category, count, streams)
            cursors.append(RawCursor(stack.enter_context(rivals.connect(database.conninfo))))
        for size in (16, 3):
            handled = rivals.drain_group(cursors[0], category, 0, size, page_size)
            yield _section(
                bench,
                cursors,
                f"group filter, member 0 of {size}: {handled:,} messages",
                RATE,
                _drain(category, size, page_size),
                handled,
                4.0,
            )
        turns = bench.pick(4, 1)
        writes = bench.pick(2000, 100)
        title = f"write_message, {writes:,} calls in one statement"
        yield _section(bench, cursors, title, RATE, _write_many(writes), writes, 1.05, turns)
        pages = bench.pick(10, 2)
        title = f"category page of {page_size:,} messages, for information"
        read = _read_pages(category, page_size, pages)
        yield _section(bench, cursors, title, MILLISECONDS, read, pages, turns=turns)


def _section(
    bench: Bench,
    cursors: list[Cursor],
    title: str,
    unit: str,
    work: Callable[[Cursor], Callable[[], object]],
    operations: int,
    wanted: float | None = None,
    turns: int = 1,
) -> Section:
    measures = measure(
        [
            Contender(name, work(cursor), operations)
            for name, cursor in zip((_OURS, _GENUINE), cursors, strict=True)
        ],
        bench.rounds,
        turns,
    )
    ours, genuine = measures
    return Section(
        title=title,
        unit=unit,
        measures=measures,
        comparisons=[times_as_fast(ours, genuine, wanted)],
    )


def _drain(category: str, size: int, page_size: int) -> Callable[[Cursor], Callable[[], object]]:
    return lambda cursor: lambda: rivals.drain_group(cursor, category, 0, size, page_size)


def _write_many(count: int) -> Callable[[Cursor], Callable[[], object]]:
    category = payload.category("write")

    def work(cursor: Cursor) -> Callable[[], object]:
        def write() -> None:
            stream = payload.stream(category)
            cursor.execute(_WRITE_MANY, (stream, payload.TYPE, payload.text(), count))

        return write

    return work


def _read_pages(
    category: str, page_size: int, pages: int
) -> Callable[[Cursor], Callable[[], object]]:
    return lambda cursor: repeated(
        pages, lambda: rivals.page(cursor, rivals.READ_CATEGORY, category, 1, page_size)
    )


TOPIC = Topic(
    "schema",
    "Our own SQL of the interface",
    "The SQL that messagedb.schema.install() installs in an empty database, beside the genuine"
    " Message DB: the same statements on both, by bare psycopg, so that only the server differs.",
    run,
)

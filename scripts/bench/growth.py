"""Growth: the same operations in a small store and in a large one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import cycle
from typing import NamedTuple

from messagedb import Client

from . import payload
from .filling import LONG, Layout, fill_growing
from .measure import Comparison, Contender, Measure, measure, spread_of
from .report import BYTES, MICROSECONDS, MILLISECONDS, Section
from .servers import Database, Server, with_settings
from .topic import Bench, Topic, repeated

_LIMIT = 1.3
_TURNS = 5
_FEW = Layout(categories=19, short=100)
_MANY = Layout(categories=100_000, short=7)
"""Of a million messages, so that each of the categories has a stream."""

_AT = {"start": 0.0, "middle": 0.5, "end": 1.0}


class _Store(NamedTuple):
    """A filled store.

    Attributes:
        label: its size in words.
        client: writes without waiting for the disk, whose time would hide the rest.
        large: its large category, 30 % of it.
        streams: streams of the large category, all of them of a page's length.
        positions: the first positions of the large category's pages.
    """

    label: str
    database: Database
    client: Client
    large: str
    streams: list[str]
    positions: dict[str, int]


def run(bench: Bench) -> Iterator[Section]:
    """Fill the stores, then measure each operation in all of them in turn."""
    sizes = [(size, _FEW) for size in bench.pick((10_000, 1_000_000), (4_000, 10_000))]
    if bench.long:
        sizes.append((10_000_000, _FEW))
        sizes.append((1_000_000, _MANY))
    with ExitStack() as stack:
        stores = [_fill(stack, bench.server, size, layout) for size, layout in sizes]
        # Reads come first, and batches last: writes let the small store grow.
        title = "stream page of 1,000"
        yield _section(bench, stores, title, MILLISECONDS, bench.pick(5, 1), _stream_page)
        yield _category_pages(bench, stores)
        yield _section(bench, stores, "single write", MICROSECONDS, bench.pick(100, 10), _single)
        yield _section(bench, stores, "batch of 1,000", MILLISECONDS, 1, _batch)
        yield _wal(bench, stores)


def _fill(stack: ExitStack, server: Server, size: int, layout: Layout) -> _Store:
    database = stack.enter_context(server.genuine(f"genuine_{size}_{layout.categories}"))
    conninfo = with_settings(database.conninfo, synchronous_commit="off")
    client = stack.enter_context(Client(conninfo))
    large = payload.category("large")
    streams = fill_growing(database, large, size, layout)
    positions = {at: _position(database, large, len(streams), share) for at, share in _AT.items()}
    step = max(1, len(streams) // 20)
    label = f"a store of {size:,}" + (
        "" if layout is _FEW else f" in {layout.categories:,} categories"
    )
    return _Store(label, database, client, large, streams[::step], positions)


def _position(database: Database, category: str, streams: int, share: float) -> int:
    """Find where the page begins that has this share of the category's other pages before it."""
    position: int = database.ask(
        """
        SELECT global_position FROM message_store.messages
        WHERE message_store.category(stream_name) = $1
        ORDER BY global_position OFFSET $2::bigint LIMIT 1
        """,
        *(category, int((streams - 1) * LONG * share)),
    )
    return position


def _section(
    bench: Bench,
    stores: list[_Store],
    title: str,
    unit: str,
    count: int,
    operation: Callable[[_Store], Callable[[], object]],
) -> Section:
    measures = measure(
        [
            Contender(f"messagedb: {store.label}", repeated(count, operation(store)), count)
            for store in stores
        ],
        bench.rounds,
        bench.pick(_TURNS, 1),
    )
    return Section(title=title, unit=unit, measures=measures, comparisons=[_limited(measures)])


def _limited(measures: list[Measure], where: str = "") -> Comparison:
    return spread_of(measures, f"{where}largest median ÷ smallest median", _LIMIT)


def _single(store: _Store) -> Callable[[], object]:
    stream = payload.stream(payload.category("single"))
    return lambda: store.client.write_message(stream, payload.message())


def _batch(store: _Store) -> Callable[[], object]:
    category = payload.category("batch")
    return lambda: store.client.write_messages(
        payload.stream(category), [payload.message() for _ in range(1000)]
    )


def _stream_page(store: _Store) -> Callable[[], object]:
    streams = cycle(store.streams)
    return lambda: store.client.get_stream_messages(next(streams), batch_size=1000)


def _category_pages(bench: Bench, stores: list[_Store]) -> Section:
    count = bench.pick(5, 1)

    def page(store: _Store, at: str) -> Callable[[], object]:
        return lambda: store.client.get_category_messages(
            store.large, position=store.positions[at], batch_size=1000
        )

    measures = measure(
        [
            Contender(f"messagedb: {store.label}, {at}", repeated(count, page(store, at)), count)
            for at in _AT
            for store in stores
        ],
        bench.rounds,
        bench.pick(_TURNS, 1),
    )
    return Section(
        title="category page of 1,000",
        unit=MILLISECONDS,
        measures=measures,
        comparisons=[
            *(
                _limited(measures[number * len(stores) :][: len(stores)], f"{at}: ")
                for number, at in enumerate(_AT)
            ),
            spread_of(measures, "all of them: largest median ÷ smallest median"),
        ],
    )


def _wal(bench: Bench, stores: list[_Store]) -> Section:
    singles = bench.pick(500, 10)
    measures: list[Measure] = []
    for name, operation, calls, messages in (
        ("single write", _single, singles, singles),
        ("batch of 1,000", _batch, 1, 1000),
    ):
        for store in stores:
            write = repeated(calls, operation(store))
            write()
            samples = [_wal_of(store.database, write) / messages for _ in range(bench.rounds)]
            measures.append(Measure(name=f"messagedb: {name}, {store.label}", samples=samples))
    return Section(
        title="write-ahead log of one message, for information",
        unit=BYTES,
        measures=measures,
        note="Of the whole server, including its background work in between.",
    )


def _wal_of(database: Database, write: Callable[[], None]) -> int:
    before = database.ask("SELECT pg_current_wal_insert_lsn()::text")
    write()
    written = database.ask("SELECT pg_current_wal_insert_lsn() - $1::pg_lsn", before)
    return int(written)


TOPIC = Topic(
    "growth",
    "Growth",
    "The same operations in genuine stores of different sizes, turn by turn. The stores were "
    "filled on the server: 30 % of the messages in one category with streams of 1,000, the rest in "
    "19 categories with streams of 100, or in 100,000 categories with a stream of 7; then VACUUM "
    "ANALYZE. synchronous_commit is off, so that the disk's pace does not hide what grows.",
    run,
)

"""Consumer groups: one member reads its part of a category."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import RawCursor

from messagedb import Client

from . import payload, rivals
from .filling import fill_category
from .measure import Contender, measure, times_as_fast
from .report import RATE, Section
from .topic import Bench, Topic

_WANTED = {3: 2.5, 16: 5.0, 1: 1.0}
_OURS = "messagedb: get_category_messages"
_BARE = "psycopg: the server's own filter"


def run(bench: Bench) -> Iterator[Section]:
    """Measure member 0 of groups of each size."""
    count, streams = bench.pick((100_000, 1000), (2000, 100))
    page_size = bench.pick(1000, 100)
    with bench.server.genuine() as genuine:
        category = payload.category("group")
        fill_category(genuine, category, count, streams)
        with Client(genuine.conninfo) as client, rivals.connect(genuine.conninfo) as conn:
            cursor = RawCursor(conn)
            for size, wanted in _WANTED.items():
                yield _section(bench, client, cursor, category, size, page_size, wanted)


def _section(
    bench: Bench,
    client: Client,
    cursor: RawCursor[tuple[object, ...]],
    category: str,
    size: int,
    page_size: int,
    wanted: float,
) -> Section:
    handled = _drain(client, category, size, page_size)
    if handled != rivals.drain_group(cursor, category, 0, size, page_size):
        raise RuntimeError(f"member 0 of {size}: we and the server give different messages")
    measures = measure(
        [
            Contender(_OURS, lambda: _drain(client, category, size, page_size), handled),
            Contender(
                _BARE,
                lambda: rivals.drain_group(cursor, category, 0, size, page_size),
                handled,
            ),
        ],
        bench.rounds,
    )
    ours, bare = measures
    return Section(
        title=f"member 0 of {size}: {handled:,} messages",
        unit=RATE,
        measures=measures,
        comparisons=[times_as_fast(ours, bare, wanted)],
    )


def _drain(client: Client, category: str, size: int, page_size: int) -> int:
    position, count = 1, 0
    while page := client.get_category_messages(
        category,
        position=position,
        batch_size=page_size,
        group_member=0,
        group_size=size,
    ):
        count += len(page)
        position = page[-1].global_position + 1
    return count


TOPIC = Topic(
    "groups",
    "Consumer groups",
    "A category of 100,000 messages in 1,000 streams of a genuine Message DB is read to its end by "
    "one member of a group, in pages of 1,000; the rate is that of the member's own messages.",
    run,
)

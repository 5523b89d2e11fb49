"""Partitions: one consumer whose work is shared by processes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final, NamedTuple

import msgspec

from messagedb import Client

from . import payload
from .children import answer, start
from .filling import fill_category
from .measure import Measure, times_as_fast
from .partitions_child import IDENTIFIER, TABLE, Done, Job
from .report import RATE, Section
from .servers import Database
from .topic import Bench, Topic

_STREAMS: Final = 400
_TIMEOUT: Final = 300.0


def run(bench: Bench) -> Iterator[Section]:
    """Measure a handler that waits, and one that writes a row with the position."""
    with bench.server.ours() as ours, Client(ours.conninfo) as client:
        ours.run(f"CREATE TABLE {TABLE} (account text PRIMARY KEY, count bigint NOT NULL)")
        ours.run(f"GRANT ALL ON {TABLE} TO message_store")
        waiting, effects = bench.pick((1_000, 4_000), (40, 40))
        yield _section(bench, ours, client, waiting, wait=0.005)
        yield _section(bench, ours, client, effects, wait=None)


class _Way(NamedTuple):
    """A number of processes that run the consumer.

    Attributes:
        name: its name in the tables.
        processes: how many.
        size: the number of partitions; None for a consumer without partitions.
    """

    name: str
    processes: int
    size: int | None


_PLAIN: Final = _Way("messagedb: no partitions, 1 process", 1, None)
_SHARED: Final = tuple(
    _Way(f"messagedb: 16 partitions, {name}", processes, 16)
    for processes, name in ((1, "1 process"), (2, "2 processes"), (4, "4 processes"))
)


def _section(
    bench: Bench, database: Database, client: Client, count: int, *, wait: float | None
) -> Section:
    ways = [_PLAIN, *bench.pick(_SHARED, _SHARED[:2])]
    samples: list[list[float]] = [[] for _ in ways]
    for _ in range(bench.rounds):
        for way, found in zip(ways, samples, strict=True):
            found.append(_measure(database, client, count, way, wait) / count)
    plain, one, *more = measures = [
        Measure(name=way.name, samples=found) for way, found in zip(ways, samples, strict=True)
    ]
    work = "an upsert, in the transaction of the position" if wait is None else "a wait of 5 ms"
    return Section(
        title=f"{count:,} messages, {work}",
        unit=RATE,
        measures=measures,
        comparisons=[times_as_fast(one, plain), *(times_as_fast(each, one) for each in more)],
    )


def _measure(
    database: Database, client: Client, count: int, way: _Way, wait: float | None
) -> float:
    """Return the seconds from the first message that is handled to the last one."""
    category = payload.category("shared")
    with ExitStack() as stack:
        children = []
        for _ in range(way.processes):
            owned = None if way.size is None else way.size // way.processes
            job = Job(database.conninfo, category, way.size, owned, wait)
            child = start("partitions_child", msgspec.json.encode(job))
            stack.callback(child.communicate)
            children.append(child)
        for child in children:
            answer(child)
        fill_category(database, category, count, _STREAMS)
        head = database.ask(
            "SELECT max(global_position) FROM message_store.messages"
            " WHERE message_store.category(stream_name) = $1",
            category,
        )
        client.wait_for_consumer(
            category, identifier=IDENTIFIER, global_position=head, timeout=_TIMEOUT
        )
        done = [_ask(child) for child in children]
    if sum(each.count for each in done) != count:
        raise RuntimeError(f"of {count} messages are handled: {[each.count for each in done]}")
    busy = [each for each in done if each.count]
    return max(each.last for each in busy) - min(each.first for each in busy)


def _ask(child: subprocess.Popen[bytes]) -> Done:
    assert child.stdin is not None
    child.stdin.write(b"\n")
    child.stdin.flush()
    return msgspec.json.decode(answer(child), type=Done)


TOPIC = Topic(
    "partitions",
    "Partitions",
    "Processes on the machine of the server share the messages of 400 streams, which are written"
    " when each process has its share. Each partition handles one message after the other. The time"
    " is that from the first message to the last one.",
    run,
)

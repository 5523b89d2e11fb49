"""Reads: a long stream, page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, closing

from psycopg import AsyncRawCursor, RawCursor

from messagedb import AsyncClient, Client

from . import payload, rivals
from .measure import Contender, measure, times_as_fast
from .report import RATE, Section
from .topic import Bench, Topic, opened

_UNTOUCHED = "messagedb: get_stream_messages"
_TOUCHED = "messagedb: get_stream_messages, every .data"
_BARE = "psycopg: fetchall, binary, undecoded"
_MESSAGE_DB_PY = "message-db-py: read_stream"


def run(bench: Bench) -> Iterator[Section]:
    """Measure both variants on one stream."""
    count, page_size = bench.pick((10_000, 1000), (500, 100))
    turns = bench.pick(4, 1)
    positions = range(0, count, page_size)
    with bench.server.genuine() as genuine:
        stream = payload.stream(payload.category("read"))
        with Client(genuine.conninfo) as client:
            client.write_messages(stream, [payload.message() for _ in range(count)])
        genuine.settle()
        with ExitStack() as stack:
            contenders = _sync(stack, genuine.conninfo, stream, positions)
            measures = measure(contenders, bench.rounds, turns)
        untouched, touched, bare, message_db_py = measures
        yield Section(
            title=f"sync, a stream of {count:,} messages in pages of {page_size:,}",
            unit=RATE,
            measures=measures,
            comparisons=[
                times_as_fast(untouched, bare, 0.85),
                times_as_fast(touched, bare, 0.7),
                times_as_fast(touched, message_db_py, 2.7),
            ],
        )
        with asyncio.Runner() as runner, ExitStack() as stack:
            contenders = _async(stack, runner, genuine.conninfo, stream, positions)
            measures = measure(contenders, bench.rounds, turns)
        untouched, touched, bare = measures
        yield Section(
            title="async, the same, for information",
            unit=RATE,
            measures=measures,
            comparisons=[times_as_fast(untouched, bare), times_as_fast(touched, bare)],
        )


def _sync(stack: ExitStack, conninfo: str, stream: str, positions: range) -> list[Contender]:
    page_size = positions.step
    client = stack.enter_context(Client(conninfo))
    cursor = RawCursor(stack.enter_context(rivals.connect(conninfo)))
    message_db_py = stack.enter_context(closing(rivals.MessageDbPy(conninfo)))

    def untouched() -> None:
        for position in positions:
            client.get_stream_messages(stream, position=position, batch_size=page_size)

    def touched() -> None:
        for position in positions:
            for message in client.get_stream_messages(
                stream, position=position, batch_size=page_size
            ):
                _ = message.data

    def bare() -> None:
        for position in positions:
            rivals.page(cursor, rivals.READ_STREAM, stream, position, page_size)

    def with_message_db_py() -> None:
        for position in positions:
            message_db_py.read_stream(stream, position, page_size)

    count = positions.stop
    return [
        Contender(_UNTOUCHED, untouched, count),
        Contender(_TOUCHED, touched, count),
        Contender(_BARE, bare, count),
        Contender(_MESSAGE_DB_PY, with_message_db_py, count),
    ]


def _async(
    stack: ExitStack, runner: asyncio.Runner, conninfo: str, stream: str, positions: range
) -> list[Contender]:
    page_size = positions.step
    client = stack.enter_context(opened(runner, AsyncClient(conninfo)))
    conn = stack.enter_context(opened(runner, runner.run(rivals.connect_async(conninfo))))
    cursor = AsyncRawCursor(conn)

    async def untouched() -> None:
        for position in positions:
            await client.get_stream_messages(stream, position=position, batch_size=page_size)

    async def touched() -> None:
        for position in positions:
            for message in await client.get_stream_messages(
                stream, position=position, batch_size=page_size
            ):
                _ = message.data

    async def bare() -> None:
        for position in positions:
            await rivals.page_async(cursor, rivals.READ_STREAM, stream, position, page_size)

    count = positions.stop
    return [
        Contender(_UNTOUCHED, lambda: runner.run(untouched()), count),
        Contender(_TOUCHED, lambda: runner.run(touched()), count),
        Contender(_BARE, lambda: runner.run(bare()), count),
    ]


TOPIC = Topic(
    "reads",
    "Reads",
    "A stream of a genuine Message DB is read from its beginning to its end. messagedb returns"
    " Message objects and decodes their data on access; psycopg returns tuples with the data as"
    " strings, from the same function; message-db-py returns dicts with decoded data.",
    run,
)

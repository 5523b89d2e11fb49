"""Single writes: the cost of a write beside a bare call of the server's function."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

import psycopg
from psycopg import AsyncRawCursor, RawCursor
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from messagedb import AsyncClient, Client

from . import payload, rivals
from .measure import Comparison, Contender, Measure, measure, times_as_fast
from .report import MICROSECONDS, Section
from .servers import with_settings
from .topic import Bench, Topic, opened, repeated, repeated_async

_OURS = "messagedb: client.write_message"
_POOLED = "psycopg: prepared call, pool.connection()"
_HELD = "psycopg: prepared call, held connection"
_MESSAGE_DB_PY = "message-db-py: write"
_BOUND = "messagedb: client.bind(conn), in a transaction"
_TRANSACTION = "messagedb: client.transaction()"
_BARE_TRANSACTION = "psycopg: prepared call, in a transaction"

_TRANSACTIONS = frozenset({_BOUND, _TRANSACTION, _BARE_TRANSACTION})
_POOL_ARGUMENTS = {"autocommit": True, "prepare_threshold": 0}


class _Counts(NamedTuple):
    """Number of messages that are written in a turn, and in one transaction."""

    writes: int
    in_transaction: int

    def repeats(self, name: str) -> int:
        """Return how often a contender's operation is done."""
        return self.writes // self.in_transaction if name in _TRANSACTIONS else self.writes


def run(bench: Bench) -> Iterator[Section]:
    """Measure both variants, with and without waiting for the disk."""
    counts = _Counts(*bench.pick((100, 100), (20, 10)))
    turns = bench.pick(10, 1)
    with bench.server.genuine() as genuine:
        for commit in ("off", "on"):
            conninfo = with_settings(genuine.conninfo, synchronous_commit=commit)
            with ExitStack() as stack:
                contenders = _sync(stack, conninfo, counts)
                yield _section("sync", commit, measure(contenders, bench.rounds, turns))
            with asyncio.Runner() as runner, ExitStack() as stack:
                contenders = _async(stack, runner, conninfo, counts)
                yield _section("async", commit, measure(contenders, bench.rounds, turns))


def _section(group: str, commit: str, measures: list[Measure]) -> Section:
    found = {each.name: each for each in measures}
    for_information = commit == "on"

    def against(ours: str, rival: str, wanted: float | None = None) -> Comparison:
        return times_as_fast(found[ours], found[rival], None if for_information else wanted)

    is_async = group == "async"
    comparisons = [
        against(_OURS, _POOLED, 0.85),
        against(_OURS, _HELD, 0.9 if is_async else None),
        against(_BOUND, _BARE_TRANSACTION, 0.95),
        against(_TRANSACTION, _BARE_TRANSACTION, 0.93 if is_async else 0.95),
    ]
    if _MESSAGE_DB_PY in found:
        comparisons.append(against(_OURS, _MESSAGE_DB_PY, 1.3))
    return Section(
        title=f"{group}, synchronous_commit {commit}" + ", for information" * for_information,
        unit=MICROSECONDS,
        measures=measures,
        comparisons=comparisons,
    )


def _streams() -> dict[str, str]:
    names = [_OURS, _POOLED, _HELD, _MESSAGE_DB_PY, *_TRANSACTIONS]
    return {name: payload.stream(payload.category("single")) for name in names}


def _sync(stack: ExitStack, conninfo: str, counts: _Counts) -> list[Contender]:
    streams = _streams()
    client = stack.enter_context(Client(conninfo))
    pool = stack.enter_context(
        ConnectionPool(conninfo, min_size=1, kwargs=_POOL_ARGUMENTS, open=False)
    )
    conn = stack.enter_context(rivals.connect(conninfo))
    lent = stack.enter_context(rivals.connect(conninfo))
    message_db_py = stack.enter_context(closing(rivals.MessageDbPy(conninfo)))
    held = RawCursor(conn)

    def pooled() -> None:
        with pool.connection() as borrowed:
            rivals.write(RawCursor(borrowed), streams[_POOLED])

    def bound() -> None:
        with lent.transaction():
            operations = client.bind(lent)
            for _ in range(counts.in_transaction):
                operations.write_message(streams[_BOUND], payload.message())

    def transaction() -> None:
        with client.transaction() as tx:
            for _ in range(counts.in_transaction):
                tx.write_message(streams[_TRANSACTION], payload.message())

    def bare_transaction() -> None:
        with conn.transaction():
            for _ in range(counts.in_transaction):
                rivals.write(held, streams[_BARE_TRANSACTION])

    operations: dict[str, Callable[[], object]] = {
        _OURS: lambda: client.write_message(streams[_OURS], payload.message()),
        _POOLED: pooled,
        _HELD: lambda: rivals.write(held, streams[_HELD]),
        _MESSAGE_DB_PY: lambda: message_db_py.write(streams[_MESSAGE_DB_PY]),
        _BOUND: bound,
        _TRANSACTION: transaction,
        _BARE_TRANSACTION: bare_transaction,
    }
    return [
        Contender(name, repeated(counts.repeats(name), operation), counts.writes)
        for name, operation in operations.items()
    ]


def _async(
    stack: ExitStack, runner: asyncio.Runner, conninfo: str, counts: _Counts
) -> list[Contender]:
    streams = _streams()
    client = stack.enter_context(opened(runner, AsyncClient(conninfo)))
    pool: AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]] = AsyncConnectionPool(
        conninfo, min_size=1, kwargs=_POOL_ARGUMENTS, open=False
    )
    stack.enter_context(opened(runner, pool))
    conn = stack.enter_context(opened(runner, runner.run(rivals.connect_async(conninfo))))
    lent = stack.enter_context(opened(runner, runner.run(rivals.connect_async(conninfo))))
    held = AsyncRawCursor(conn)

    async def pooled() -> None:
        async with pool.connection() as borrowed:
            await rivals.write_async(AsyncRawCursor(borrowed), streams[_POOLED])

    async def bound() -> None:
        async with lent.transaction():
            operations = client.bind(lent)
            for _ in range(counts.in_transaction):
                await operations.write_message(streams[_BOUND], payload.message())

    async def transaction() -> None:
        async with client.transaction() as tx:
            for _ in range(counts.in_transaction):
                await tx.write_message(streams[_TRANSACTION], payload.message())

    async def bare_transaction() -> None:
        async with conn.transaction():
            for _ in range(counts.in_transaction):
                await rivals.write_async(held, streams[_BARE_TRANSACTION])

    operations: dict[str, Callable[[], Awaitable[object]]] = {
        _OURS: lambda: client.write_message(streams[_OURS], payload.message()),
        _POOLED: pooled,
        _HELD: lambda: rivals.write_async(held, streams[_HELD]),
        _BOUND: bound,
        _TRANSACTION: transaction,
        _BARE_TRANSACTION: bare_transaction,
    }
    return [
        Contender(name, repeated_async(runner, counts.repeats(name), operation), counts.writes)
        for name, operation in operations.items()
    ]


TOPIC = Topic(
    "single",
    "Single writes",
    "One writer writes one message after the other to a stream of a genuine Message DB; the time"
    " of one. All contenders encode the data and make the id (version 7, but version 4 in"
    " message-db-py) within it. In transactions of 100 messages BEGIN and COMMIT are part of the"
    " time.",
    run,
)

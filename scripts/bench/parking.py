"""Failing streams: the rate of the others while the messages of some are parked."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

import psycopg

from messagedb import Client, Consumer, Context, Message, RetryPolicy

from . import payload
from .filling import fill_category
from .measure import Contender, measure, times_as_fast
from .report import RATE, Section
from .topic import Bench, Topic

_STREAMS: Final = 1_000
_FAILING: Final = 10
_WANTED: Final = 0.9
_NO_RETRY: Final = RetryPolicy(max_attempts=1)
_TABLE: Final = "public.parking_effects"
_INSERT: Final = f"INSERT INTO {_TABLE} VALUES (%s, %s)".encode()

_QUERY: Final = b"SELECT %s::bigint + 1"

_numbers = itertools.count()


class _Handler(NamedTuple):
    """The work of a handler for each message.

    Attributes:
        name: in titles.
        size: the number of messages.
        turns: in each round.
        makes_query: whether it asks the server for something.
        transactional: whether it writes a row with the position.
    """

    name: str
    size: int
    turns: int = 1
    makes_query: bool = False
    transactional: bool = False


def run(bench: Bench) -> Iterator[Section]:
    """Measure a handler that makes a query, one that writes a row, and one that does nothing."""
    handlers = [
        _Handler("a query for each", bench.pick(20_000, 2_000), makes_query=True),
        _Handler(
            "transactional=True, a row for each",
            bench.pick(3_000, 1_000),
            turns=bench.pick(3, 1),
            transactional=True,
        ),
        _Handler("a handler that does nothing", bench.pick(100_000, 2_000)),
    ]
    # A message that is parked is logged, ten in each run.
    logging.getLogger("messagedb.consumer").setLevel(logging.ERROR)
    with bench.server.ours() as ours, ExitStack() as stack:
        ours.run(f"CREATE TABLE {_TABLE} (stream text NOT NULL, position bigint NOT NULL)")
        ours.run(f"GRANT ALL ON {_TABLE} TO message_store")
        client = stack.enter_context(Client(ours.conninfo))
        conn = stack.enter_context(psycopg.connect(ours.conninfo, autocommit=True))
        for handler in handlers:
            category = payload.category("parking")
            fill_category(ours, category, handler.size, _STREAMS)
            yield _section(bench, _Work(client, conn, category, handler))


def _section(bench: Bench, work: _Work) -> Section:
    handler = work.handler

    def contender(failing: int) -> Contender:
        others = handler.size - failing * (handler.size // _STREAMS)
        streams = f"{failing} of {_STREAMS:,} streams fail" if failing else "no stream fails"
        return Contender(f"messagedb: {streams}", lambda: work.handle_all(failing, others), others)

    contenders = [contender(0), contender(_FAILING)]
    none, some = measure(contenders, bench.rounds, handler.turns)
    does_something = handler.makes_query or handler.transactional
    return Section(
        title=f"{handler.size:,} messages, {handler.name}",
        unit=RATE,
        measures=[none, some],
        comparisons=[times_as_fast(some, none, _WANTED if does_something else None)],
    )


class _Work(NamedTuple):
    """A category to be handled from its beginning to its end, again and again."""

    client: Client
    conn: psycopg.Connection[Any]
    category: str
    handler: _Handler

    def handle_all(self, failing: int, others: int) -> None:
        """Handle it, and see that all messages of the streams that do not fail were handled."""
        failing_streams = {f"{self.category}-{number}" for number in range(failing)}
        makes_query, transactional = self.handler.makes_query, self.handler.transactional
        consumer = Consumer(
            self.client,
            self.category,
            identifier=f"parking{next(_numbers)}",
            on_error="park_stream",
            retry=_NO_RETRY,
            transactional=transactional,
        )

        @consumer.handler(payload.TYPE)
        def handle(message: Message[Any], context: Context) -> None:
            if message.stream_name in failing_streams:
                raise RuntimeError("it cannot be handled")
            if makes_query:
                self.conn.execute(_QUERY, [message.position])
            elif transactional:
                place = [message.stream_name, message.position]
                context.transaction.connection.execute(_INSERT, place)

        consumer.run(until="caught_up")
        handled = consumer.status().handled_count
        if handled != others:
            raise RuntimeError(f"{handled} of {others} messages are handled")


TOPIC = Topic(
    "parking",
    "Failing streams",
    "A category in 1,000 streams is handled from its beginning to its end by a consumer with "
    '`on_error="park_stream"` and no second attempt. Either all messages can be handled, or the '
    "messages of 10 streams fail: the first of each stream is parked, and those that follow it. "
    "The rate is that of the messages of the other streams.",
    run,
)

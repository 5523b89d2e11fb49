"""Effects of consumers: an upsert for each message, beside the loops that one writes by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import msgspec
import psycopg

from messagedb import Client, Consumer, Context, Message, ReadModel, TablePositionStore
from messagedb.consumers import BatchContext

from . import payload
from .filling import fill_category
from .measure import Comparison, Contender, measure, times_as_fast
from .report import RATE, Section
from .topic import Bench, Topic

_SINGLE = "messagedb: transactional=True"
_HUNDRED = "messagedb: transaction_size=100"
_BATCH = "messagedb: batch_handler"
_MODEL = "messagedb: rebuild of a read model, batch_handler"
_HAND = "by hand: one transaction a message"
_HAND_HUNDRED = "by hand: 100 in a transaction"
_HAND_PIPELINE = "by hand: 100 in a transaction and a pipeline"
_HAND_ARRAYS = "by hand: one upsert from arrays for a page of 1,000"

_PAGE = 1000
_STREAMS = 100
# Seen before there were batch handlers.
_MODEL_BEFORE = 1579.0

_UPSERT = """
INSERT INTO {table} AS t VALUES (%s, %s)
ON CONFLICT (account) DO UPDATE SET amount = t.amount + excluded.amount
"""
_UPSERT_ALL = """
INSERT INTO {table} AS t
SELECT account, sum(amount) FROM unnest(%s::text[], %s::float8[]) AS new (account, amount)
GROUP BY account ORDER BY account
ON CONFLICT (account) DO UPDATE SET amount = t.amount + excluded.amount
"""
_CREATE = "CREATE TABLE {table} (account text PRIMARY KEY, amount float8 NOT NULL)"
_READ = "SELECT stream_name, data, global_position FROM get_category_messages(%s, %s, %s)"
_SAVE = b"UPDATE public.hand_position SET position = %s"

_numbers = itertools.count()


def run(bench: Bench) -> Iterator[Section]:
    """Measure the sync variant beside the loops by hand, and the rebuild of a read model."""
    few, many, model = bench.pick((4_000, 100_000, 1_000_000), (60, 2_000, 2_000))
    with bench.server.ours() as ours, ExitStack() as stack:
        ours.run(_CREATE.format(table="public.effects"))
        ours.run("CREATE TABLE public.hand_position (position bigint NOT NULL)")
        ours.run("INSERT INTO public.hand_position VALUES (0)")
        ours.run("GRANT ALL ON public.effects, public.hand_position TO message_store")
        ours.run("GRANT CREATE ON SCHEMA public TO message_store")
        client = stack.enter_context(Client(ours.conninfo))
        conn = stack.enter_context(psycopg.connect(ours.conninfo, autocommit=True))
        category = payload.category("effects")
        fill_category(ours, category, few, _STREAMS)
        yield _of_single_messages(bench, client, conn, category, few)
        category = payload.category("effects")
        fill_category(ours, category, many, _STREAMS)
        yield _of_pages(bench, client, conn, category, many)
        category = payload.category("effects")
        fill_category(ours, category, model, _STREAMS)
        yield _of_read_models(bench, client, category, model)


def _of_single_messages(
    bench: Bench, client: Client, conn: psycopg.Connection[Any], category: str, count: int
) -> Section:
    hand = _Hand(conn, category, count)
    measures = measure(
        [
            Contender(_SINGLE, lambda: _handle(client, category, count), count),
            Contender(
                _HUNDRED, lambda: _handle(client, category, count, transaction_size=100), count
            ),
            Contender(_HAND, lambda: hand.run(1), count),
            Contender(_HAND_HUNDRED, lambda: hand.run(100), count),
            Contender(_HAND_PIPELINE, lambda: hand.run(100, is_pipelined=True), count),
        ],
        bench.rounds,
    )
    single, hundred, by_hand, hundred_by_hand, pipelined = measures
    return Section(
        title=f"{count:,} messages, an upsert for each",
        unit=RATE,
        measures=measures,
        comparisons=[
            times_as_fast(hundred, single, 8.0),
            times_as_fast(hundred, hundred_by_hand, 0.7),
            times_as_fast(hundred, pipelined),
            times_as_fast(single, by_hand),
        ],
    )


def _of_pages(
    bench: Bench, client: Client, conn: psycopg.Connection[Any], category: str, count: int
) -> Section:
    hand = _Hand(conn, category, count)
    measures = measure(
        [
            Contender(_BATCH, lambda: _handle_lists(client, category, count), count),
            Contender(_HAND_ARRAYS, hand.run_by_pages, count),
        ],
        bench.rounds,
    )
    batch, arrays = measures
    return Section(
        title=f"{count:,} messages, an upsert for a page",
        unit=RATE,
        measures=measures,
        comparisons=[times_as_fast(batch, arrays, 0.6)],
    )


def _of_read_models(bench: Bench, client: Client, category: str, count: int) -> Section:
    measures = measure(
        [Contender(_MODEL, lambda: _rebuild(client, category, count), count)], bench.rounds
    )
    (model,) = measures
    factors = [1 / (seconds * _MODEL_BEFORE) for seconds in model.samples]
    return Section(
        title=f"a read model of {count:,} messages is rebuilt",
        unit=RATE,
        measures=measures,
        comparisons=[
            Comparison(
                name=f"{model.name} ÷ {_MODEL_BEFORE:,.0f} messages/s",
                value=1 / (model.median * _MODEL_BEFORE),
                low=min(factors),
                high=max(factors),
                wanted=20.0,
            )
        ],
        note=f"It was {_MODEL_BEFORE:,.0f} messages a second with a transaction for each message.",
    )


def _handle(client: Client, category: str, count: int, **options: Any) -> None:
    consumer = _make(client, category, **options)
    upsert = _UPSERT.format(table="public.effects").encode()

    @consumer.handler(payload.TYPE)
    def add(message: Message[Any], context: Context) -> None:
        context.transaction.connection.execute(
            upsert, [message.stream_name, message.data["amount"]]
        )

    consumer.run(until="caught_up")
    _check(consumer.status().handled_count, count)


def _handle_lists(client: Client, category: str, count: int) -> None:
    consumer = _make(client, category)
    upsert = _UPSERT_ALL.format(table="public.effects").encode()

    @consumer.batch_handler(payload.TYPE)
    def add(messages: list[Message[Any]], context: BatchContext) -> None:
        context.transaction.connection.execute(upsert, _list_values(messages))

    consumer.run(until="caught_up")
    _check(consumer.status().handled_count, count)


def _make(client: Client, category: str, **options: Any) -> Consumer:
    return Consumer(
        client,
        category,
        identifier=f"effects{next(_numbers)}",
        transactional=True,
        position_store=TablePositionStore(),
        **options,
    )


def _rebuild(client: Client, category: str, count: int) -> None:
    name = f"amounts{next(_numbers)}"
    model = ReadModel(client, category, name=name, version=1, create=_CREATE)
    upsert = model.format_sql(_UPSERT_ALL)

    @model.batch_handler(payload.TYPE)
    def add(messages: list[Message[Any]], context: BatchContext) -> None:
        context.transaction.connection.execute(upsert, _list_values(messages))

    model.rebuild()
    _check(model.consumer.status().handled_count, count)


def _list_values(messages: Sequence[Message[Any]]) -> list[list[Any]]:
    return [
        [message.stream_name for message in messages],
        [message.data["amount"] for message in messages],
    ]


class _Hand:
    """Loops that one writes by hand: read a page, upsert, and store the position with it."""

    def __init__(self, conn: psycopg.Connection[Any], category: str, count: int) -> None:
        self._conn = conn
        self._category = category
        self._count = count
        self._upsert = _UPSERT.format(table="public.effects").encode()
        self._upsert_all = _UPSERT_ALL.format(table="public.effects").encode()

    def _read(self) -> Iterator[list[tuple[str, Any, int]]]:
        position, count = 1, 0
        while rows := self._conn.execute(
            _READ.encode(), [self._category, position, _PAGE]
        ).fetchall():
            yield [(name, msgspec.json.decode(data), at) for name, data, at in rows]
            position, count = rows[-1][2] + 1, count + len(rows)
        _check(count, self._count)

    def run(self, size: int, *, is_pipelined: bool = False) -> None:
        """Upsert each message, so many in a transaction."""
        for page in self._read():
            for start in range(0, len(page), size):
                with ExitStack() as stack:
                    if is_pipelined:
                        stack.enter_context(self._conn.pipeline())
                    stack.enter_context(self._conn.transaction())
                    rows = page[start : start + size]
                    for name, data, _ in rows:
                        self._conn.execute(self._upsert, [name, data["amount"]])
                    self._conn.execute(_SAVE, [rows[-1][2]])

    def run_by_pages(self) -> None:
        """Upsert each page by one statement."""
        for page in self._read():
            with self._conn.transaction():
                values = [[name for name, _, _ in page], [data["amount"] for _, data, _ in page]]
                self._conn.execute(self._upsert_all, values)
                self._conn.execute(_SAVE, [page[-1][2]])


def _check(handled: int, count: int) -> None:
    if handled != count:
        raise RuntimeError(f"{handled} of {count} messages are handled")


TOPIC = Topic(
    "effects",
    "Consumers with effects",
    "Each message adds its amount to a row of a table, in the transaction that stores the position "
    "in a table: by transactional consumers, one message, 100 messages or a page in a transaction, "
    "and by loops written by hand with psycopg, which read the same pages with the server's "
    "function, decode the data, and have no lease, no retries and no compare-and-set.",
    run,
)

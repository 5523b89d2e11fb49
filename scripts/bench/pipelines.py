"""Pipelines of the user: their rows and a message, with and without ``conn.pipeline()``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import Any

import psycopg
from psycopg import RawCursor
from psycopg.conninfo import make_conninfo

from messagedb import Client

from . import payload, relay, rivals
from .measure import Contender, measure, times_as_fast
from .report import MILLISECONDS, Section
from .servers import ROLE, Database
from .topic import Bench, Topic, repeated

_DELAY = 0.0005
"""Added delay of each direction in seconds: a round trip takes one millisecond more."""

_ROWS = 100
_TABLE = """
CREATE TABLE public.bench_rows (id bigserial PRIMARY KEY, account text NOT NULL, amount int)
"""
_INSERT = "INSERT INTO public.bench_rows (account, amount) VALUES (%s, %s)"

_BARE = "psycopg: write_message called by hand"
_BOUND = "messagedb: client.bind(conn)"
_TRANSACTION = "messagedb: client.transaction()"
_ONE_BY_ONE = ", one by one"
_PIPELINED = ", in conn.pipeline()"

Connection = psycopg.Connection[Any]


def run(bench: Bench) -> Iterator[Section]:
    """Measure on the server's own address, and behind a network with a delay."""
    with bench.server.genuine() as genuine:
        genuine.run(_TABLE)
        genuine.run(f"GRANT INSERT ON public.bench_rows TO {ROLE}")
        genuine.run(f"GRANT USAGE ON SEQUENCE public.bench_rows_id_seq TO {ROLE}")
        yield _section(bench, genuine.conninfo, "no network", 5)
        host, port = bench.server.address()
        with relay.relayed(host, port, _DELAY) as relayed_port:
            conninfo = _at_port(genuine, relayed_port)
            title = f"round trips {2000 * _DELAY:g} ms longer"
            yield _section(bench, conninfo, title, 1)


def _at_port(database: Database, port: int) -> str:
    return make_conninfo(
        database.conninfo, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"
    )


def _section(bench: Bench, conninfo: str, title: str, count: int) -> Section:
    with ExitStack() as stack:
        client = stack.enter_context(Client(conninfo))
        conn = stack.enter_context(rivals.connect(conninfo))
        ways: dict[str, Callable[[bool], None]] = {
            _BARE: _bare(conn),
            _BOUND: _bound(client, conn),
            _TRANSACTION: _transaction(client),
        }
        measures = measure(
            [
                Contender(name + how, repeated(count, partial(way, piped)), count)
                for piped, how in ((False, _ONE_BY_ONE), (True, _PIPELINED))
                for name, way in ways.items()
            ],
            bench.rounds,
            bench.pick(3, 1),
        )
    found = {each.name: each for each in measures}
    return Section(
        title=f"{_ROWS} rows and a message, {title}",
        unit=MILLISECONDS,
        measures=measures,
        comparisons=[
            *(
                times_as_fast(found[ours + how], found[_BARE + how], wanted)
                for how, wanted in ((_ONE_BY_ONE, None), (_PIPELINED, 0.85))
                for ours in (_BOUND, _TRANSACTION)
            ),
            *(
                times_as_fast(found[ours + _PIPELINED], found[ours + _ONE_BY_ONE])
                for ours in (_BOUND, _TRANSACTION)
            ),
        ],
    )


def _pipeline(conn: Connection, piped: bool) -> AbstractContextManager[object]:
    return conn.pipeline() if piped else nullcontext()


def _insert_rows(conn: Connection) -> None:
    for number in range(_ROWS):
        conn.execute(_INSERT, ("7d0f7a52", number))


def _bare(conn: Connection) -> Callable[[bool], None]:
    stream = payload.stream(payload.category("pipeline"))

    def work(piped: bool) -> None:
        with _pipeline(conn, piped), conn.transaction():
            _insert_rows(conn)
            RawCursor(conn).execute(rivals.WRITE, rivals.parameters(stream))

    return work


def _bound(client: Client, conn: Connection) -> Callable[[bool], None]:
    stream = payload.stream(payload.category("pipeline"))

    def work(piped: bool) -> None:
        operations = client.bind(conn)
        with _pipeline(operations.connection, piped), operations.connection.transaction():
            _insert_rows(operations.connection)
            operations.write_message(stream, payload.message())

    return work


def _transaction(client: Client) -> Callable[[bool], None]:
    stream = payload.stream(payload.category("pipeline"))

    def work(piped: bool) -> None:
        with client.transaction() as tx, _pipeline(tx.connection, piped):
            _insert_rows(tx.connection)
            tx.write_message(stream, payload.message())

    return work


TOPIC = Topic(
    "pipelines",
    "Pipelines",
    "One transaction of 100 rows of the user's own and one message; the time of one. A relay on"
    " 127.0.0.1 delays its data for half a millisecond in each direction, as a network would.",
    run,
)

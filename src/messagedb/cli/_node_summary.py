"""Counts of messages behind a proxying database: each node counts its own, and they are added."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from messagedb._connection.conninfo import describe_target
from messagedb._connection.error_mapping import NOTHING_CHANGED, connect_error, map_error
from messagedb._operations.node_queries import parse_rows
from messagedb._sql.nodes import ROWS_OF_ALL_NODES

from ._proxy_state import has_nodes
from ._store import StoreTarget
from ._summary_queries import build_node_count, build_node_summary


def count_on_nodes(
    store: StoreTarget, keys: tuple[str, ...], pattern: str | None, limit: int | None
) -> list[tuple[Any, ...]] | None:
    """Return the rows of a summary, the largest first; None if no nodes are behind the database.

    Raises:
        StoreUnavailableError: the database or a node cannot be reached.
        MessageDBError: as a read raises it.
    """
    with store.open_user_url() as url:
        try:
            conn = psycopg.connect(url, connect_timeout=10, autocommit=True, client_encoding="utf8")
        except psycopg.OperationalError as error:
            raise connect_error(error, describe_target(url)) from error
        with conn:
            try:
                return _count(conn, store, keys, pattern, limit)
            except psycopg.Error as error:
                raise map_error(error, NOTHING_CHANGED) from error


def _count(
    conn: psycopg.Connection[Any],
    store: StoreTarget,
    keys: tuple[str, ...],
    pattern: str | None,
    limit: int | None,
) -> list[tuple[Any, ...]] | None:
    if not has_nodes(conn):
        return None
    milliseconds = str(int(store.command_timeout * 1000))
    conn.execute("SELECT set_config('statement_timeout', %s, false)", [milliseconds])

    def fetch(query: sql.Composed) -> list[tuple[Any, ...]]:
        cursor = psycopg.RawCursor(conn)
        cursor.execute(ROWS_OF_ALL_NODES, [query.as_string(None), True])
        return parse_rows(cursor.fetchall())

    counts: Counter[tuple[str, ...]] = Counter()
    for *found, count in fetch(build_node_summary(keys, pattern)):
        counts[tuple(found)] += int(count)
    total = sum(int(count) for (count,) in fetch(build_node_count()))
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
    return [
        (*key, count, round(Decimal(100 * count) / max(total, count), 2)) for key, count in largest
    ]

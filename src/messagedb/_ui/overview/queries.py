"""The queries of the overview, each with a bounded amount of work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from psycopg import sql

from _messagedb_async.operations.internals import get_server

from ..._operations.node_queries import VISIBLE
from ..nodes import NodeReader, Reader
from ..site import fetch

if TYPE_CHECKING:
    from _messagedb_async.client import AsyncClient

EXACT_UP_TO: Final = 20_000
"""Stores with at most this number of messages are counted."""

NEWEST: Final = 5_000
"""The number of newest messages that rates are computed from."""

SAMPLED_PAGES: Final = 250
"""About the number of the table's pages that sizes of categories are estimated from."""

_FACTS: Final = """
SELECT current_database()::text, current_user::text, current_setting('server_version'),
       pg_is_in_recovery(), c.reltuples::float8, c.relpages::bigint,
       pg_relation_size(c.oid) / current_setting('block_size')::bigint,
       pg_total_relation_size(c.oid), now(),
       (SELECT max(global_position) FROM {table}),
       (SELECT count(*) FROM (SELECT stream_name FROM {table} LIMIT {limit}) m WHERE {visible})
FROM pg_class c WHERE c.oid = {name}::regclass
"""

_ACTIVITY: Final = """
SELECT category, floor(extract(epoch FROM (now() AT TIME ZONE 'utc') - time) / 60)::bigint,
       count(*), max(time), min(time)
FROM (SELECT stream_name, split_part(stream_name, '-', 1) AS category, time FROM {table}
      ORDER BY global_position DESC LIMIT {limit}) newest
WHERE {visible} AND time >= '0001-01-02' AND time < '9999-12-31'
GROUP BY 1, 2
"""

_SAMPLE: Final = """
SELECT split_part(stream_name, '-', 1), count(*) FROM {table} {sample}
WHERE {visible} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {limit}
"""


class StoreFacts(msgspec.Struct, frozen=True):
    """The facts about a store and its server."""

    database: str
    role: str
    server_version: str
    in_recovery: bool
    analyzed_rows: float
    analyzed_pages: int
    pages: int
    total_bytes: int
    now: datetime
    head: int | None
    counted: int
    host: str = ""
    store_version: str = ""
    nodes: int = 0


class Activity(msgspec.Struct, frozen=True):
    """The newest messages of one category that are as old, in minutes."""

    category: str
    minutes_ago: int
    count: int
    last: datetime
    first: datetime


async def fetch_facts(tx: Reader, table: sql.Identifier) -> StoreFacts:
    """Return the facts about the store. It counts at most ``EXACT_UP_TO`` messages and one."""
    query = sql.SQL(_FACTS).format(
        table=table,
        limit=sql.Literal(EXACT_UP_TO + 1),
        name=sql.Literal(table.as_string(None)),
        visible=_find_visible(tx),
    )
    (row,) = await fetch(tx, query)
    if isinstance(tx, NodeReader):
        facts: Any = (*row[:8], datetime.fromisoformat(row[8]), *row[9:])
        return StoreFacts(*facts)
    info = tx.connection.info
    place = f"{info.host or 'local socket'}:{info.port}"
    facts = (*row, place, await tx.message_store_version())
    return StoreFacts(*facts)


async def fetch_activity(tx: Reader, table: sql.Identifier) -> list[Activity]:
    """Return the newest messages by category and age. It reads ``NEWEST`` messages."""
    query = sql.SQL(_ACTIVITY).format(
        table=table, limit=sql.Literal(NEWEST), visible=_find_visible(tx)
    )
    return [
        Activity(category, minutes, count, _as_utc(last), _as_utc(first))
        for category, minutes, count, last, first in await fetch(tx, query)
    ]


async def fetch_sizes(
    tx: Reader, table: sql.Identifier, percent: float | None, limit: int
) -> list[tuple[str, int]]:
    """Return categories with their numbers of messages, the largest first.

    Args:
        tx: the transaction.
        table: of messages.
        percent: the part of the table's pages to read; None for the whole table.
        limit: the largest number of categories.
    """
    sample = (
        sql.SQL("")
        if percent is None
        else sql.SQL("TABLESAMPLE SYSTEM ({}) REPEATABLE (1)").format(sql.Literal(percent))
    )
    query = sql.SQL(_SAMPLE).format(
        table=table, sample=sample, visible=_find_visible(tx), limit=sql.Literal(limit)
    )
    rows: list[tuple[Any, ...]] = await fetch(tx, query)
    return [(name, count) for name, count in rows]


async def merge_facts(client: AsyncClient, nodes: Sequence[StoreFacts]) -> StoreFacts:
    """Return the facts about a store on several nodes: sums, and those of the proxying database."""
    server = await get_server(client)
    versions = {each.server_version for each in nodes}
    return StoreFacts(
        database=server.database,
        role=server.role,
        server_version=", ".join(sorted(versions)),
        in_recovery=any(each.in_recovery for each in nodes),
        analyzed_rows=sum(each.analyzed_rows for each in nodes),
        analyzed_pages=sum(each.analyzed_pages for each in nodes),
        pages=sum(each.pages for each in nodes),
        total_bytes=sum(each.total_bytes for each in nodes),
        now=max(each.now for each in nodes),
        head=None,
        counted=sum(each.counted for each in nodes),
        host=f"{len(nodes)} nodes",
        store_version=await client.message_store_version(),
        nodes=len(nodes),
    )


def _find_visible(tx: Reader) -> sql.SQL:
    return VISIBLE if isinstance(tx, NodeReader) else sql.SQL("true")


def _as_utc(given: datetime | str) -> datetime:
    time = datetime.fromisoformat(given) if isinstance(given, str) else given
    return time.replace(tzinfo=UTC)

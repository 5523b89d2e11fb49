"""The queries for cause and effect, in windows of global positions: nothing indexes causation."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from psycopg import sql

from ..._operations.node_queries import VISIBLE
from ..nodes import NodeReader, Reader
from ..site import fetch
from ..streams.queries import parse_time

MOST_ANCESTORS: Final = 50

_COLUMNS: Final = """
id::text, stream_name::text, type::text, position, global_position,
to_char(time, 'YYYY-MM-DD"T"HH24:MI:SS.US'),
CASE WHEN jsonb_typeof(metadata) = 'object' THEN metadata->>'causationMessageStreamName' END,
CASE WHEN metadata->>'causationMessagePosition' ~ '^[0-9]{{1,18}}$'
     THEN (metadata->>'causationMessagePosition')::bigint END,
CASE WHEN jsonb_typeof(metadata) = 'object' THEN metadata->>'correlationStreamName' END
"""

# CASE keeps the cast behind the check of its text.
_ANCESTORS: Final = f"""
WITH RECURSIVE up AS (
    (SELECT m.*, 0 AS depth FROM {{table}} m
     WHERE stream_name = %(name)s AND position = %(position)s AND {{visible}})
    UNION ALL
    SELECT cause.*, up.depth + 1
    FROM up, LATERAL (
        SELECT * FROM {{table}}
        WHERE stream_name = up.metadata->>'causationMessageStreamName'
          AND position = CASE WHEN up.metadata->>'causationMessagePosition' ~ '^[0-9]{{{{1,18}}}}$'
                              THEN (up.metadata->>'causationMessagePosition')::bigint END
          AND {{visible}}
        LIMIT 1) cause
    WHERE up.depth < {{deepest}}
)
SELECT {_COLUMNS} FROM up ORDER BY depth
"""

_WINDOW: Final = f"""
WITH seen AS MATERIALIZED (
    SELECT * FROM {{table}} WHERE global_position > %(after)s
    ORDER BY global_position LIMIT %(count)s
)
SELECT {_COLUMNS} FROM (
    SELECT * FROM seen
    WHERE (metadata->>'causationMessageStreamName' IS NOT NULL
           OR metadata->>'correlationStreamName' = %(correlation)s) AND {{visible}}) found
UNION ALL
SELECT NULL, NULL, NULL, count(*), max(global_position), NULL, NULL, NULL, NULL FROM seen
"""


_LARGEST_READ: Final = 1_000_000

_METADATA: Final = """
SELECT CASE WHEN pg_column_size(metadata) <= {largest} THEN metadata::text END
FROM {table} WHERE id = %(id)s::uuid
"""


class TraceMessage(msgspec.Struct, frozen=True):
    """A message with the place of its cause."""

    id: str
    stream_name: str
    type: str
    position: int
    global_position: int
    time: datetime | None
    cause_stream: str | None
    cause_position: int | None
    correlation_stream: str | None

    @property
    def place(self) -> tuple[str, int]:
        """Its stream and position."""
        return self.stream_name, self.position

    @property
    def cause(self) -> tuple[str, int] | None:
        """The stream and position of its cause."""
        if self.cause_stream is None or self.cause_position is None:
            return None
        return self.cause_stream, self.cause_position


class Window(msgspec.Struct, frozen=True):
    """The messages with a cause, or of a correlation, among those after a global position.

    Attributes:
        messages: in the order of global position.
        after: the global position before the window.
        last: the last one that was looked at; None if there is no message after it.
        is_full: whether the window ended before the store did.
        node: the name of the node that the messages are on; "" if the store has one server.
    """

    messages: list[TraceMessage]
    after: int
    last: int | None
    is_full: bool
    node: str = ""


async def fetch_ancestors(
    tx: Reader, table: sql.Identifier, place: tuple[str, int], deepest: int = MOST_ANCESTORS
) -> list[TraceMessage]:
    """Return a message, its cause, the cause of that, and so on, as far as a server has them.

    Args:
        tx: where the query runs.
        table: of messages.
        place: the stream and the position of the message.
        deepest: the largest number of causes.
    """
    query = sql.SQL(_ANCESTORS).format(
        table=table, deepest=sql.Literal(deepest), visible=_find_visible(tx)
    )
    rows = await fetch(tx, query, {"name": place[0], "position": place[1]})
    return [_parse(row) for row in rows]


async def fetch_metadata(tx: Reader, table: sql.Identifier, id: str) -> str | None:
    """Return the metadata of a message as text; None for SQL NULL, or if it is too large."""
    query = sql.SQL(_METADATA).format(table=table, largest=sql.Literal(_LARGEST_READ))
    rows = await fetch(tx, query, {"id": id})
    return rows[0][0] if rows else None


def leave_circle(ancestors: list[TraceMessage]) -> list[TraceMessage]:
    """Return the ancestors up to the first that is there again: metadata may name any cause."""
    seen: dict[tuple[str, int], TraceMessage] = {}
    for each in ancestors:
        if each.place in seen:
            break
        seen[each.place] = each
    return list(seen.values())


async def fetch_window(
    tx: Reader, table: sql.Identifier, after: int, count: int, correlation: str | None
) -> Window:
    """Return the messages with a cause, or of the correlation, among the next ones."""
    query = sql.SQL(_WINDOW).format(table=table, visible=_find_visible(tx))
    parameters = {"after": after, "count": count, "correlation": correlation}
    *rows, summary = await fetch(tx, query, parameters)
    found = sorted((_parse(row) for row in rows), key=lambda each: each.global_position)
    node = tx.name if isinstance(tx, NodeReader) else ""
    return Window(found, after, summary[4], summary[3] >= count, node)


def _find_visible(tx: Reader) -> sql.SQL:
    return VISIBLE if isinstance(tx, NodeReader) else sql.SQL("true")


def _parse(row: tuple[Any, ...]) -> TraceMessage:
    found: Any = (*row[:5], parse_time(row[5]), *row[6:])
    return TraceMessage(*found)

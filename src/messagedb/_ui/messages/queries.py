"""The queries of single messages."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from psycopg import sql

from ..nodes import Reader
from ..site import fetch
from ..streams.queries import parse_time

MOST_CHARACTERS: Final = 1_000_000
"""Characters of the data up to which a message is read as a whole for its page."""

LARGEST_READ: Final = 4_000_000
"""Stored bytes, compressed, up to which the data is read at all for its page."""

_MESSAGE: Final = """
SELECT id::text, stream_name::text, type::text, position, global_position,
       to_char(time, 'YYYY-MM-DD"T"HH24:MI:SS.US'),
       pg_column_size(data)::bigint, pg_column_size(metadata)::bigint,
       CASE WHEN pg_column_size(data) <= {largest}
            THEN left(data::text, {characters}) END,
       CASE WHEN pg_column_size(metadata) <= {largest}
            THEN left(metadata::text, {characters}) END
FROM {table} WHERE {condition}
"""

_NEIGHBOR: Final = """
SELECT global_position FROM {table} WHERE stream_name = %(name)s AND position {comparison} %(at)s
ORDER BY stream_name {order}, position {order} LIMIT 1
"""

Field = Literal["data", "metadata"]


class FullMessage(msgspec.Struct, frozen=True):
    """A message with its JSON, as far as it is read for a page.

    Attributes:
        id: the message id.
        stream_name: its stream.
        type: its type.
        position: in the stream.
        global_position: in the store.
        time: of the write; None if Python cannot represent it.
        data_size: the bytes that the server stores, compressed; None for SQL NULL.
        metadata_size: likewise.
        data: the stored text; None for SQL NULL, or for one that is too large.
        metadata: likewise.
    """

    id: str
    stream_name: str
    type: str
    position: int
    global_position: int
    time: datetime | None
    data_size: int | None
    metadata_size: int | None
    data: str | None
    metadata: str | None


async def find_by_id(tx: Reader, table: sql.Identifier, id: UUID) -> FullMessage | None:
    """Return the message with an id."""
    return await _find(tx, table, sql.SQL("id = %(id)s::uuid"), {"id": str(id)})


async def find_by_global_position(
    tx: Reader, table: sql.Identifier, global_position: int
) -> FullMessage | None:
    """Return the message at a global position."""
    return await _find(tx, table, sql.SQL("global_position = %(at)s"), {"at": global_position})


async def find_by_position(
    tx: Reader, table: sql.Identifier, stream_name: str, position: int
) -> FullMessage | None:
    """Return the message at a position of a stream."""
    condition = sql.SQL("stream_name = %(name)s AND position = %(at)s")
    return await _find(tx, table, condition, {"name": stream_name, "at": position})


async def find_neighbor(
    tx: Reader, table: sql.Identifier, message: FullMessage, *, is_next: bool
) -> int | None:
    """Return the global position of the next or the previous message of the stream."""
    query = sql.SQL(_NEIGHBOR).format(
        table=table,
        comparison=sql.SQL(">" if is_next else "<"),
        order=sql.SQL("ASC" if is_next else "DESC"),
    )
    rows = await fetch(tx, query, {"name": message.stream_name, "at": message.position})
    return rows[0][0] if rows else None


async def find_stream_name(tx: Reader, table: sql.Identifier, global_position: int) -> str | None:
    """Return the stream of the message at a global position."""
    query = sql.SQL("SELECT stream_name::text FROM {} WHERE global_position = %(at)s").format(table)
    rows = await fetch(tx, query, {"at": global_position})
    return rows[0][0] if rows else None


async def read_field(
    tx: Reader, table: sql.Identifier, id: UUID, field: Field
) -> tuple[str, str | None] | None:
    """Return the type of a message and the whole text of its data or metadata."""
    query = sql.SQL("SELECT type::text, {}::text FROM {} WHERE id = %(id)s::uuid").format(
        sql.Identifier(field), table
    )
    rows = await fetch(tx, query, {"id": str(id)})
    return (rows[0][0], rows[0][1]) if rows else None


async def _find(
    tx: Reader, table: sql.Identifier, condition: sql.SQL, parameters: dict[str, Any]
) -> FullMessage | None:
    query = sql.SQL(_MESSAGE).format(
        table=table,
        condition=condition,
        largest=sql.Literal(LARGEST_READ),
        characters=sql.Literal(MOST_CHARACTERS + 1),
    )
    rows = await fetch(tx, query, parameters)
    if not rows:
        return None
    found: Any = (*rows[0][:5], parse_time(rows[0][5]), *rows[0][6:])
    return FullMessage(*found)

"""The queries of categories and streams, each along an index."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from psycopg import sql

from _messagedb_async.operations.internals import read_rows
from _messagedb_async.transactions.transaction import AsyncTransaction

from ..._operations import listings
from ..._operations.listings import CategoryInfo, StreamInfo
from ..._sql.listings import listing_statements
from ..nodes import NodeReader, Reader
from ..site import fetch

PREVIEW: Final = 160
"""Characters of the data in a row."""

_LARGEST_PREVIEWED: Final = 20_000
"""Stored bytes up to which data is read for a row."""

_TIME: Final = "to_char(time, 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"

_ROW: Final = f"""
id::text, stream_name::text, type::text, position, global_position, {_TIME},
pg_column_size(data)::bigint,
CASE WHEN pg_column_size(data) <= {{largest}} THEN left(data::text, {{characters}}) END
"""

_OF_STREAM: Final = (
    f"SELECT {_ROW} FROM {{table}} WHERE stream_name = %(name)s AND position {{comparison}}"
    " %(position)s ORDER BY stream_name {order}, position {order} LIMIT %(limit)s"
)

_OF_CATEGORY: Final = (
    f"SELECT {_ROW} FROM {{table}} WHERE {{category}}(stream_name) = ANY (ARRAY[%(name)s::varchar])"
    " ORDER BY {category}(stream_name) DESC, global_position DESC LIMIT %(limit)s"
)

_END: Final = f"""
SELECT position, global_position, {_TIME} FROM {{table}} WHERE stream_name = %(name)s
ORDER BY stream_name {{order}}, position {{order}} LIMIT 1
"""

_TIME_AT: Final = f"""
SELECT position, {_TIME} FROM {{table}} WHERE stream_name = %(name)s AND position >= %(position)s
ORDER BY stream_name, position LIMIT 1
"""


class MessageRow(msgspec.Struct, frozen=True):
    """A message in a list.

    Attributes:
        id: the message id.
        stream_name: its stream.
        type: its type.
        position: in the stream.
        global_position: in the store.
        time: of the write; None if Python cannot represent it.
        size: the bytes that the server stores for the data, compressed; None for SQL NULL.
        text: the first characters of the data; None if it is too large to be read for a list.
    """

    id: str
    stream_name: str
    type: str
    position: int
    global_position: int
    time: datetime | None
    size: int | None
    text: str | None


class StreamEnd(msgspec.Struct, frozen=True):
    """The first or the last message of a stream."""

    position: int
    global_position: int
    time: datetime | None


async def fetch_categories(
    tx: AsyncTransaction, schema: str, after: str | None, limit: int
) -> list[CategoryInfo]:
    """Return a page of categories, in the order of the index."""
    read = listings.build_category_list(listing_statements(schema), after, limit)
    return listings.parse_categories(await read_rows(tx, read))


async def fetch_streams(
    tx: Reader,
    schema: str,
    category: str,
    prefix: str | None,
    after: str | None,
    limit: int,
) -> list[StreamInfo]:
    """Return a page of the streams of a category whose ids begin with the prefix."""
    if isinstance(tx, NodeReader):
        return await tx.client.list_streams(category, prefix=prefix, after=after, limit=limit)
    read = listings.build_stream_list(listing_statements(schema), category, prefix, after, limit)
    return listings.parse_streams(await read_rows(tx, read))


async def fetch_end(
    tx: Reader, table: sql.Identifier, name: str, which: Literal["first", "last"]
) -> StreamEnd | None:
    """Return the first or the last message of a stream; None if the stream has none."""
    order = sql.SQL("ASC" if which == "first" else "DESC")
    rows = await fetch(tx, sql.SQL(_END).format(table=table, order=order), {"name": name})
    return StreamEnd(rows[0][0], rows[0][1], parse_time(rows[0][2])) if rows else None


async def fetch_messages(
    tx: Reader,
    table: sql.Identifier,
    name: str,
    position: int,
    *,
    newer: bool,
    limit: int,
    characters: int = PREVIEW + 1,
) -> list[MessageRow]:
    """Return messages of a stream, the newest first.

    Args:
        tx: the transaction.
        table: of messages.
        name: the stream.
        position: the first, or the last if ``newer`` is False; inclusive.
        newer: whether to continue to newer ones.
        limit: the largest number.
        characters: of the data.
    """
    query = sql.SQL(_OF_STREAM).format(
        table=table,
        comparison=sql.SQL(">=" if newer else "<="),
        order=sql.SQL("ASC" if newer else "DESC"),
        characters=sql.Literal(characters),
        largest=sql.Literal(_LARGEST_PREVIEWED),
    )
    rows = await fetch(tx, query, {"name": name, "position": position, "limit": limit})
    found = [parse_row(row) for row in rows]
    return found[::-1] if newer else found


async def fetch_newest_of_category(
    tx: Reader, schema: str, category: str, limit: int, characters: int = PREVIEW + 1
) -> list[MessageRow]:
    """Return the newest messages of a category, the newest first."""
    query = sql.SQL(_OF_CATEGORY).format(
        table=sql.Identifier(schema, "messages"),
        category=sql.Identifier(schema, "category"),
        characters=sql.Literal(characters),
        largest=sql.Literal(_LARGEST_PREVIEWED),
    )
    return [parse_row(row) for row in await fetch(tx, query, {"name": category, "limit": limit})]


async def find_position(
    tx: Reader, table: sql.Identifier, name: str, time: datetime, first: int, last: int
) -> int:
    """Return the position of the first message of a stream at a time or later, by bisection.

    There is no index on times, but within a stream they grow with the positions. It returns the
    last position if all messages are older.
    """
    query = sql.SQL(_TIME_AT).format(table=table)
    low, high = first, last
    while low < high:
        middle = (low + high) // 2
        rows = await fetch(tx, query, {"name": name, "position": middle})
        found = parse_time(rows[0][1]) if rows else None
        if rows and (found is None or found < time):
            low = rows[0][0] + 1
        else:
            high = middle
    return min(low, last)


def parse_row(row: tuple[Any, ...]) -> MessageRow:
    """Return a message of a list from the row of its query."""
    id, stream_name, type, position, global_position, time, size, text = row
    when = parse_time(time)
    return MessageRow(id, stream_name, type, position, global_position, when, size, text)


def parse_time(text: str | None) -> datetime | None:
    """Return the time that the server wrote; None for one that Python cannot represent."""
    try:
        return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None

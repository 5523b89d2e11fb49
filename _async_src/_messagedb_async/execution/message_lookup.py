"""Search for a message id: in the table, or if that cannot be read in its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from messagedb._operations.dialect import build_lookup_page
from messagedb._sql.history import WAIT_FOR_STANDBY
from messagedb._sql.statements import Statement

from ..connection.connection import AsyncStoreCursor, execute

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from messagedb._operations.dialect import Dialect
    from messagedb._operations.requests import WriteRequest


async def find_message(
    conn: AsyncConnection[Any], dialect: Dialect, write: WriteRequest, index: int
) -> tuple[str, int] | None:
    """Return the stream and position of message *index* of a write, None if it is not stored.

    Through PL/Proxy the node of its stream is searched. Without the table only its own stream can
    be searched, page by page.
    """
    id = write.encoded[index].id
    if dialect.has_nodes:
        look = Statement(dialect.sql.find_on_node, (write.stream_name, id))
        rows = await execute(AsyncStoreCursor(conn), look)
        return (rows[0][0], rows[0][1]) if rows else None
    if dialect.table_readable:
        look = Statement(dialect.sql.find_message, (id,))
        rows = await execute(AsyncStoreCursor(conn), look)
        return (rows[0][0], rows[0][1]) if rows else None
    position = 0
    while True:
        page = build_lookup_page(dialect.sql, write.stream_name, position)
        rows = await execute(AsyncStoreCursor(conn), page.call)
        for row in rows:
            if row[0] == id and row[1] == write.stream_name:
                await execute(AsyncStoreCursor(conn), Statement(WAIT_FOR_STANDBY, ()))
                return row[1], row[3]
        if len(rows) < page.size:
            return None
        position = rows[-1][page.column] + 1

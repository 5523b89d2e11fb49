"""Check whether the sequence of the global positions is behind its table."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from messagedb._connection import position_sequence

from .connection import AsyncStoreCursor

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from messagedb._connection.server_info import Server
    from messagedb._connection.session_config import Profile

log = logging.getLogger("messagedb.client")


async def look(conn: AsyncConnection[Any], profile: Profile, server: Server) -> None:
    """Check on opening whether writes are to be refused, and log a warning.

    Raises:
        psycopg.Error: the query failed.
    """
    if server.sequence.name is None or not server.table_readable:
        return
    schema = profile.settings.schema
    row = await _ask(conn, schema, server.sequence.name)
    server.sequence.is_suspected = position_sequence.is_behind(row)
    if server.sequence.is_suspected:
        log.warning("%s", position_sequence.behind(schema, row))


async def check(
    conn: AsyncConnection[Any], schema: str, sequence: position_sequence.Sequence
) -> None:
    """Refuse to write while a sequence that was behind still is.

    Raises:
        IncompatibleServerError: it is. Nothing was written.
        psycopg.Error: the query failed.
    """
    if sequence.name is not None:
        row = await _ask(conn, schema, sequence.name)
        if position_sequence.is_behind(row):
            raise position_sequence.behind(schema, row)
    sequence.is_suspected = False


async def _ask(conn: AsyncConnection[Any], schema: str, name: str) -> tuple[Any, ...]:
    cursor = AsyncStoreCursor(conn)
    await cursor.execute(
        position_sequence.question(schema, name).encode(), binary=True, prepare=False
    )
    return (await cursor.fetchall())[0]

"""Check whether the sequence of the global positions is behind its table."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from messagedb._connection import position_sequence

from .connection import AsyncStoreCursor

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from messagedb._connection.server_info import ServerInfo
    from messagedb._connection.session_config import SessionConfig

log = logging.getLogger("messagedb.client")


async def load_sequence(
    conn: AsyncConnection[Any], session_config: SessionConfig, server: ServerInfo
) -> None:
    """Check on opening whether writes are to be refused, and log a warning.

    Raises:
        psycopg.Error: the query failed.
    """
    if server.sequence.name is None or not server.table_readable:
        return
    schema = session_config.settings.schema
    row = await _query_sequence(conn, schema, server.sequence.name)
    server.sequence.is_suspected = position_sequence.is_behind(row)
    if server.sequence.is_suspected:
        log.warning("%s", position_sequence.sequence_behind_error(schema, row))


async def check_sequence(
    conn: AsyncConnection[Any], schema: str, sequence: position_sequence.Sequence
) -> None:
    """Refuse to write while a sequence that was behind still is.

    Raises:
        IncompatibleServerError: it is. Nothing was written.
        psycopg.Error: the query failed.
    """
    if sequence.name is not None:
        row = await _query_sequence(conn, schema, sequence.name)
        if position_sequence.is_behind(row):
            raise position_sequence.sequence_behind_error(schema, row)
    sequence.is_suspected = False


async def _query_sequence(conn: AsyncConnection[Any], schema: str, name: str) -> tuple[Any, ...]:
    cursor = AsyncStoreCursor(conn)
    await cursor.execute(
        position_sequence.build_query(schema, name).encode(), binary=True, prepare=False
    )
    return (await cursor.fetchall())[0]

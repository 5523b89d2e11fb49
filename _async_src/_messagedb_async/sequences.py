"""Asking whether the sequence of the global positions is behind its table."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from messagedb import _sequences as sequences

from .connection import AsyncStoreCursor

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from messagedb._profile import Profile
    from messagedb._server import Server

log = logging.getLogger("messagedb.client")


async def look(conn: AsyncConnection[Any], profile: Profile, server: Server) -> None:
    """Find out on opening whether writes are to be refused, and warn of it.

    Raises:
        psycopg.Error: the question failed.
    """
    if server.sequence.name is None or not server.table_readable:
        return
    schema = profile.settings.schema
    row = await _ask(conn, schema, server.sequence.name)
    server.sequence.is_suspected = sequences.is_behind(row)
    if server.sequence.is_suspected:
        log.warning("%s", sequences.behind(schema, row))


async def check(conn: AsyncConnection[Any], schema: str, sequence: sequences.Sequence) -> None:
    """Refuse to write while a sequence that was behind still is.

    Raises:
        IncompatibleServerError: it is. Nothing was written.
        psycopg.Error: the question failed.
    """
    if sequence.name is not None:
        row = await _ask(conn, schema, sequence.name)
        if sequences.is_behind(row):
            raise sequences.behind(schema, row)
    sequence.is_suspected = False


async def _ask(conn: AsyncConnection[Any], schema: str, name: str) -> tuple[Any, ...]:
    cursor = AsyncStoreCursor(conn)
    await cursor.execute(sequences.question(schema, name).encode(), binary=True, prepare=False)
    return (await cursor.fetchall())[0]

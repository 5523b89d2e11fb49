"""Whether a consumer's own store answers, and takes writes, after a handler could not reach one."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

from messagedb import _sql_consumers as sql
from messagedb._postgres_errors import NOTHING_READ, translate
from messagedb._sql import BEGIN, ROLLBACK, Statement
from messagedb.consumers.decisions import is_store_away, is_write_refused
from messagedb.errors import MessageDBError

from ..connection import AsyncStoreConnection, AsyncStoreCursor, execute

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from ..client import AsyncClient

# Longer than a server takes that is merely busy.
_ANSWER = 5.0


async def answers(client: AsyncClient, problem: Exception) -> bool:
    """Tell whether the client's store does now what it might not have done for a handler.

    On a connection of its own: whether one of the pool is free says nothing of the store.

    Args:
        client: whose store it is.
        problem: what the handler raised. If a write was refused, the store is asked for one, too:
            of a megabyte, in a temporary table, rolled back.

    Raises:
        MessageDBError: the store is there and refuses the client for good.
    """
    try:
        conn = await client.connect()
        try:
            return await _answers(conn, with_write=is_write_refused(problem))
        finally:
            with suppress(psycopg.Error, OSError):
                await conn.close()
    except MessageDBError as error:
        if not is_store_away(error):
            raise
        return False


async def _answers(conn: AsyncConnection[Any], *, with_write: bool) -> bool:
    if isinstance(conn, AsyncStoreConnection):
        conn.deadline = monotonic() + _ANSWER
    try:
        if not conn.autocommit:
            await conn.set_autocommit(True)
        cursor = AsyncStoreCursor(conn)
        facts = await execute(cursor, Statement(sql.TAKES_WRITES, ()))
        takes_writes, commits_wait, may_try = facts[0]
        if commits_wait:
            # With locks, for which others wait.
            return False
        if not with_write:
            return True
        if not takes_writes:
            return False
        await cursor.execute(BEGIN, prepare=False)
        await cursor.execute(sql.TRY_TRANSACTION, prepare=False)
        if may_try:
            await cursor.execute(sql.TRY_WRITE, prepare=False)
        await cursor.execute(ROLLBACK, prepare=False)
    except psycopg.Error as error:
        raise translate(error, NOTHING_READ) from error
    return True

"""A transaction on a connection that no operation of the client waits for."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from messagedb._concurrency.backend_async import sleep
from messagedb._connection.settings import RESPONSE_GRACE_SECONDS
from messagedb._errors import PoolTimeoutError
from messagedb._sql.statements import BEGIN, COMMIT, Statement

from ..connection.connection import AsyncStoreConnection
from ..connection.interruptions import abort_operation, is_interruption
from .write_scopes import WriteScope, abandon_scope, execute_pipelined

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import TupleRow

    from .connection_providers import AsyncConnectionProvider

# A fifth of a second altogether.
_MAX_LOOKS = 10
_LOOK_SECONDS = 0.02


async def execute_on_spare(
    provider: AsyncConnectionProvider, setup: Statement, statement: Statement, seconds: float
) -> list[TupleRow]:
    """Execute a statement in a transaction, on a free connection of the pool.

    If none becomes free soon, it is executed on a separate connection. It never queues up among
    the users of the pool.

    Args:
        provider: the open pool.
        setup: the first statement of the transaction, with its settings.
        statement: the statement.
        seconds: how long to wait for the server.

    Returns:
        The rows of the statement.

    Raises:
        psycopg.Error: the statement failed. Nothing was changed, unless the connection was lost.
        StoreUnavailableError: no connection could be opened. Nothing was sent.
    """
    scope = WriteScope((Statement(BEGIN, ()), setup), (Statement(COMMIT, ()),))
    if await _is_any_free(provider):
        try:
            executor = await provider.acquire(monotonic() + RESPONSE_GRACE_SECONDS)
        except PoolTimeoutError:
            pass
        else:
            try:
                return await _execute(executor.connection, scope, statement, seconds)
            finally:
                await provider.release(executor)
    conn = await provider.connect()
    try:
        if not conn.autocommit:
            await conn.set_autocommit(True)
        return await _execute(conn, scope, statement, seconds)
    finally:
        await conn.close()


async def _is_any_free(provider: AsyncConnectionProvider) -> bool:
    """Return True if the pool has a free connection now or soon."""
    for _ in range(_MAX_LOOKS):
        if provider.pool.get_stats()["pool_available"]:
            return True
        await sleep(_LOOK_SECONDS)
    return False


async def _execute(
    conn: AsyncConnection[Any], scope: WriteScope, statement: Statement, seconds: float
) -> list[TupleRow]:
    if isinstance(conn, AsyncStoreConnection):
        conn.deadline = monotonic() + seconds
    try:
        return await execute_pipelined(conn, scope.enter, statement, scope.leave)
    except BaseException as error:
        if is_interruption(error):
            abort_operation(conn)
        else:
            await abandon_scope(conn, scope)
        raise

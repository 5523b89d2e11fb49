"""Installing our schema in a database: one connection, one transaction."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import tuple_row

import messagedb.schema._plan as plan
from messagedb._conninfo import where
from messagedb._postgres_errors import cannot_connect, is_lost


async def install_async(conninfo: str = "", *, schema: str = "message_store") -> bool:
    """Install the Message DB schema in a database, unless a Message DB is there.

    One transaction does it all: the role ``message_store`` (LOGIN, without a password) where the
    cluster has none, the schema, the table with its indexes, the functions, views and grants. An
    existing Message DB, genuine or ours, is recognised and nothing of it is touched. It is safe to
    call this again, and from several processes at once: an advisory lock, held until the
    transaction ends, lets one install and the others find it done.

    Args:
        conninfo: a connection string, or '' for libpq's environment, of a role that may create
            schemas in the database, and the role ``message_store`` if that does not exist: a
            superuser, or the database's owner with CREATEROLE.
        schema: the schema to install in. It is created if it is not there.

    Returns:
        True if Message DB was installed, False if one was there.

    Raises:
        ValidationError: the connection string or the schema's name is none. Nothing was sent.
        StoreUnavailableError: the server cannot be reached, or did not let us in. Nothing was sent.
            If the connection was lost on the way, the database is as it was or the installation is
            whole: call this again.
        IncompatibleServerError: the database or the role cannot be used (not UTF8, before
            PostgreSQL 14, a standby, a missing privilege, a table ``messages`` of somebody else);
            the text names the cure. Nothing was installed.
        RetryableError: another installation did not end within 60 seconds. Nothing was installed.
        ServerError: the server refused a statement; the text is the server's. Nothing was
            installed.
    """
    plan.check_conninfo(conninfo)
    plan.check_schema_name(schema)
    conn = await _connect(conninfo)
    try:
        return await _install(conn, schema)
    except psycopg.Error as error:
        raise plan.unsuccessful(error, is_lost(error, conn.closed)) from error
    finally:
        await conn.close()


async def _connect(conninfo: str) -> AsyncConnection[Any]:
    arguments = plan.connect_arguments(conninfo)
    try:
        # No prepared statements: nothing is run often, and a transaction pooler may be in between.
        return await AsyncConnection.connect(
            conninfo, prepare_threshold=None, row_factory=tuple_row, **arguments
        )
    except (psycopg.Error, UnicodeError) as error:
        raise cannot_connect(error, where(conninfo)) from error


async def _install(conn: AsyncConnection[Any], schema: str) -> bool:
    # Looked at twice: most calls find it done, and wait for nobody.
    if not plan.steps(await _facts(conn, schema), schema):
        return False
    async with conn.transaction():
        await conn.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        await conn.execute(plan.SET_UP.encode())
        await conn.execute(plan.LOCK.encode())
        texts = plan.steps(await _facts(conn, schema), schema)
        for text in texts:
            # Without parameters: the simple protocol, which takes several statements in one text.
            await conn.execute(text.encode())
    return bool(texts)


async def _facts(conn: AsyncConnection[Any], schema: str) -> plan.Facts:
    cursor = await conn.execute(plan.INSPECT, [schema])
    return plan.facts_from_row((await cursor.fetchall())[0])

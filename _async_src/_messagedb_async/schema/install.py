"""Installation of our schema in a database: one connection, one transaction."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import tuple_row

import messagedb._schema.install_plan as plan
from messagedb._connection.conninfo import describe_target
from messagedb._connection.error_mapping import connect_error, is_connection_lost
from messagedb._schema.inspection import (
    INSPECT,
    DatabaseInfo,
    add_schema_version,
    parse_database_info,
)
from messagedb._schema.messagedb_schema import SELECT_SCHEMA_VERSION, is_version_readable


async def install_async(conninfo: str = "", *, schema: str = "message_store") -> bool:
    """Install the Message DB schema in a database, unless it has a Message DB.

    One transaction creates everything: the role ``message_store`` (LOGIN, without a password) if
    the cluster has none, the schema, the table with its indexes, the functions, views and grants.
    An existing Message DB, genuine or ours, is recognized and not changed. It is safe to call this
    again, and from several processes simultaneously: an advisory lock, held until the transaction
    ends, lets one process install, and the others find the installed schema.

    The schema ``messagedb`` is installed with it, also in a database with an existing Message DB.
    Consumers store their positions in it if they are configured to use a table; ``message_store``
    may read, insert and update these. If only this schema is missing and the role may not create
    it, it is left out without an error: the error of such consumers names the fix when they start.

    Example::

        await schema.install_async("postgresql://postgres@localhost/shop")

    Args:
        conninfo: a connection string, or '' for libpq's environment, of a role that may create
            schemas in the database, and the role ``message_store`` if that does not exist: a
            superuser, or the database's owner with CREATEROLE.
        schema: the schema to install in. It is created if it does not exist. It cannot be
            ``messagedb``.

    Returns:
        True if Message DB was installed, False if the database had one, even if the schema
        ``messagedb`` was missing.

    Raises:
        ValidationError: the connection string or the schema's name is invalid. Nothing was sent.
        StoreUnavailableError: the server cannot be reached, or refused the login. Nothing was sent.
            If the connection was lost during the installation, the database is unchanged or the
            installation is complete: call this again.
        IncompatibleServerError: the database or the role cannot be used (not UTF8, before
            PostgreSQL 14, a standby, a missing privilege, another product's table ``messages`` or
            schema ``messagedb``); the text names the fix. Nothing was installed.
        RetryableError: another installation did not end within 60 seconds. Nothing was installed.
        ServerError: the server refused a statement; the text is the server's. Nothing was
            installed.
    """
    conninfo = plan.check_conninfo(conninfo)
    plan.check_schema_name(schema)
    conn = await connect(conninfo)
    try:
        return await _install(conn, schema)
    except psycopg.Error as error:
        raise plan.install_error(error, is_connection_lost(error, conn.closed)) from error
    finally:
        await conn.close()


async def connect(conninfo: str) -> AsyncConnection[Any]:
    """Connect for a few statements of an installation.

    Raises:
        StoreUnavailableError: the server cannot be reached, or refused the login.
    """
    arguments = plan.connect_arguments(conninfo)
    try:
        # No prepared statements: nothing runs often, and a transaction pooler may be in between.
        return await AsyncConnection.connect(
            conninfo, prepare_threshold=None, row_factory=tuple_row, **arguments
        )
    except (psycopg.Error, UnicodeError) as error:
        raise connect_error(error, describe_target(conninfo)) from error


async def begin(conn: AsyncConnection[Any]) -> None:
    """Prepare an open transaction for the work: its settings, and a lock until its end."""
    await conn.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    await conn.execute(plan.SET_UP.encode())
    await conn.execute(plan.LOCK.encode())


async def execute_all(conn: AsyncConnection[Any], texts: list[str]) -> None:
    """Run statements without parameters: the simple protocol takes several in one string."""
    for text in texts:
        await conn.execute(text.encode())


async def inspect_database(conn: AsyncConnection[Any], schema: str) -> DatabaseInfo:
    """Inspect the database, with the version of our schema if it matters."""
    cursor = await conn.execute(INSPECT, [schema])
    facts = parse_database_info((await cursor.fetchall())[0])
    if not is_version_readable(facts):
        return facts
    cursor = await conn.execute(SELECT_SCHEMA_VERSION)
    return add_schema_version(facts, (await cursor.fetchall())[0])


async def _install(conn: AsyncConnection[Any], schema: str) -> bool:
    # Inspected twice: most calls find a complete installation, and need not wait for a lock.
    if not plan.plan_install(await inspect_database(conn, schema), schema).statements:
        return False
    async with conn.transaction():
        await begin(conn)
        steps = plan.plan_install(await inspect_database(conn, schema), schema)
        await execute_all(conn, steps.statements)
    return steps.installs

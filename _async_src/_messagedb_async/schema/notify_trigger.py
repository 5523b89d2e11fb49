"""Trigger that wakes consumers: install it on the table of a Message DB, and remove it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import AsyncConnection

import messagedb._schema.install_plan as plan
from messagedb._connection.error_mapping import is_connection_lost
from messagedb._schema.inspection import DatabaseInfo
from messagedb._schema.notify_trigger import (
    INSPECT_NOTIFY,
    NotifyInfo,
    notify_error,
    parse_notify_info,
    plan_install_notify,
    plan_remove_notify,
)

from .install import begin, connect, execute_all, inspect_database

Decide = Callable[[DatabaseInfo, NotifyInfo, str], list[str]]


async def install_notify_async(conninfo: str = "", *, schema: str = "message_store") -> bool:
    """Install a trigger in a Message DB that wakes the consumers with ``notify=True``.

    It is the only part of ours that changes a genuine Message DB, so it is a separate step: the
    trigger ``messagedb_notify`` on ``messages``, and its function in the schema ``messagedb``, both
    created if they are missing. After every statement that inserts messages, by any way, it
    notifies the channel ``messagedb`` once for each of their categories, with the category as the
    payload. PostgreSQL delivers when the transaction has committed, the same category once. Writers
    need no privilege for it.

    It has a cost for writers: a commit that notifies waits for other commits that notify, so
    simultaneous writers commit one after the other, each with a separate flush to disk.

    One transaction does it, under the lock of `install_async`. Creating the trigger acquires SHARE
    ROW EXCLUSIVE on ``messages``: it waits, up to 60 seconds, for the transactions that have
    written, and transactions that begin to write meanwhile wait behind it. Reads continue.

    Example::

        await schema.install_notify_async("postgresql://postgres@localhost/shop")

    Args:
        conninfo: a connection string, or '' for libpq's environment, of the owner of the table
            ``messages``, who may also create schemas if ``messagedb`` is missing; or of a
            superuser.
        schema: the schema of the Message DB.

    Returns:
        True if the trigger was installed, False if it existed.

    Raises:
        ValidationError: the connection string or the schema's name is invalid. Nothing was sent.
        StoreUnavailableError: the server cannot be reached, or refused the login. Nothing was sent.
            If the connection was lost meanwhile, the trigger may exist or not: call this again.
        IncompatibleServerError: there is no table ``messages``, the role is not its owner or may
            not create the function, or the server is read-only; the text names the fix. Nothing was
            changed.
        RetryableError: the lock of the table, or of another installation, was not free within 60
            seconds. Nothing was changed.
        ServerError: the server refused a statement; the text is the server's. Nothing was changed.
    """
    return await _change(conninfo, schema, plan_install_notify)


async def remove_notify_async(conninfo: str = "", *, schema: str = "message_store") -> bool:
    """Remove the trigger that `install_notify_async` installed.

    Consumers with ``notify=True`` continue by polling. The trigger's function is dropped with the
    last trigger of the database that calls it; the schema ``messagedb`` stays.

    One transaction does it. It acquires ACCESS EXCLUSIVE on ``messages``: it waits, up to 60
    seconds, for the transactions that have read or written, and all others wait behind it.

    Example::

        await schema.remove_notify_async("postgresql://postgres@localhost/shop")

    Args:
        conninfo: a connection string, or '' for libpq's environment, of the owner of the table
            ``messages`` or of a superuser.
        schema: the schema of the Message DB.

    Returns:
        True if the trigger was removed, False if it did not exist.

    Raises:
        ValidationError: the connection string or the schema's name is invalid. Nothing was sent.
        StoreUnavailableError: the server cannot be reached, or refused the login. Nothing was sent.
            If the connection was lost meanwhile, the trigger may exist or not: call this again.
        IncompatibleServerError: there is no table ``messages``, the role is not its owner, or the
            server is read-only; the text names the fix. Nothing was changed.
        RetryableError: the lock of the table, or of an installation, was not free within 60
            seconds. Nothing was changed.
        ServerError: the server refused a statement; the text is the server's. Nothing was changed.
    """
    return await _change(conninfo, schema, plan_remove_notify)


async def _change(conninfo: str, schema: str, decide: Decide) -> bool:
    conninfo = plan.check_conninfo(conninfo)
    plan.check_schema_name(schema)
    conn = await connect(conninfo)
    try:
        # Inspected twice: if there is nothing to do, there is no lock to wait for.
        if not await _plan(conn, schema, decide):
            return False
        async with conn.transaction():
            await begin(conn)
            texts = await _plan(conn, schema, decide)
            await execute_all(conn, texts)
        return bool(texts)
    except psycopg.Error as error:
        raise notify_error(error, is_connection_lost(error, conn.closed)) from error
    finally:
        await conn.close()


async def _plan(conn: AsyncConnection[Any], schema: str, decide: Decide) -> list[str]:
    facts = await inspect_database(conn, schema)
    cursor = await conn.execute(INSPECT_NOTIFY, [schema])
    return decide(facts, parse_notify_info((await cursor.fetchall())[0]), schema)

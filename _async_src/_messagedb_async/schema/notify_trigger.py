"""The trigger that wakes consumers: put on the table of a Message DB, and taken away again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import AsyncConnection

import messagedb._schema.install_plan as plan
from messagedb._connection.error_mapping import is_lost
from messagedb._schema.inspection import DatabaseInfo
from messagedb._schema.notify_trigger import (
    INSPECT_NOTIFY,
    NotifyInfo,
    notify_error,
    parse_notify_info,
    plan_install_notify,
    plan_remove_notify,
)

from .install import begin, connect, facts_of, run

Decide = Callable[[DatabaseInfo, NotifyInfo, str], list[str]]


async def install_notify_async(conninfo: str = "", *, schema: str = "message_store") -> bool:
    """Put a trigger on a Message DB that wakes the consumers with ``notify=True``.

    It is the one thing of ours that changes a genuine Message DB, so it is a step of its own: the
    trigger ``messagedb_notify`` on ``messages``, and its function in the schema ``messagedb``, made
    where they are missing. After every statement that inserts messages, by whatever way, it
    notifies the channel ``messagedb`` once for each category of them, with the category as the
    payload. PostgreSQL delivers when the transaction has committed, the same category once. Who
    writes needs no privilege for it.

    It costs writers: a commit that notifies waits until others that do so are done, so that
    writers of the same moment commit one after the other, each with its own flush to disk.

    One transaction does it, under the lock of `install_async`. Making the trigger takes SHARE ROW
    EXCLUSIVE on ``messages``: it waits, up to 60 seconds, for the transactions that have written,
    and whoever begins to write meanwhile waits behind it. Reads go on.

    Args:
        conninfo: a connection string, or '' for libpq's environment, of the owner of the table
            ``messages``, who may also create schemas if ``messagedb`` is missing; or of a
            superuser.
        schema: the schema of the Message DB.

    Returns:
        True if the trigger was put in place, False if it was there.

    Raises:
        ValidationError: the connection string or the schema's name is none. Nothing was sent.
        StoreUnavailableError: the server cannot be reached, or did not let us in. Nothing was sent.
            If the connection was lost on the way, the trigger is there or not: call this again.
        IncompatibleServerError: there is no table ``messages``, the role is not its owner or may
            not make the function, or the server takes no writes; the text names the cure. Nothing
            was changed.
        RetryableError: the lock of the table, or of another installation, was not free within 60
            seconds. Nothing was changed.
        ServerError: the server refused a statement; the text is the server's. Nothing was changed.
    """
    return await _change(conninfo, schema, plan_install_notify)


async def remove_notify_async(conninfo: str = "", *, schema: str = "message_store") -> bool:
    """Take away the trigger that `install_notify_async` put in place.

    Consumers with ``notify=True`` go on by polling. The trigger's function goes with the last
    trigger of the database that calls it; the schema ``messagedb`` stays.

    One transaction does it. It takes ACCESS EXCLUSIVE on ``messages``: it waits, up to 60 seconds,
    for the transactions that have read or written, and all others wait behind it.

    Args:
        conninfo: a connection string, or '' for libpq's environment, of the owner of the table
            ``messages`` or of a superuser.
        schema: the schema of the Message DB.

    Returns:
        True if the trigger was taken away, False if it was not there.

    Raises:
        ValidationError: the connection string or the schema's name is none. Nothing was sent.
        StoreUnavailableError: the server cannot be reached, or did not let us in. Nothing was sent.
            If the connection was lost on the way, the trigger is there or not: call this again.
        IncompatibleServerError: there is no table ``messages``, the role is not its owner, or the
            server takes no writes; the text names the cure. Nothing was changed.
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
        # Looked at twice: who finds it done waits for nobody.
        if not await _steps(conn, schema, decide):
            return False
        async with conn.transaction():
            await begin(conn)
            texts = await _steps(conn, schema, decide)
            await run(conn, texts)
        return bool(texts)
    except psycopg.Error as error:
        raise notify_error(error, is_lost(error, conn.closed)) from error
    finally:
        await conn.close()


async def _steps(conn: AsyncConnection[Any], schema: str, decide: Decide) -> list[str]:
    facts = await facts_of(conn, schema)
    cursor = await conn.execute(INSPECT_NOTIFY, [schema])
    return decide(facts, parse_notify_info((await cursor.fetchall())[0]), schema)

"""Upgrade of an installation to the newest revision, and its removal; one transaction each."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import AsyncConnection

import messagedb._schema.install_plan as plan
from messagedb._connection.error_mapping import is_connection_lost
from messagedb._schema.inspection import DatabaseInfo
from messagedb._schema.notify_trigger import (
    INSPECT_NOTIFY,
    parse_notify_info,
    plan_remove_notify,
)
from messagedb._schema.revisions import (
    INSPECT_REVISION,
    Revision,
    build_has_messages,
    build_lock_table,
    change_error,
    parse_revision,
    plan_uninstall,
    plan_upgrade,
)

from .install import begin, connect, execute_all, inspect_database


async def upgrade_async(conninfo: str = "", *, schema: str = "message_store") -> bool:
    """Upgrade an installation of an older messagedb to the revision of this one.

    The functions, views and privileges of our SQL are replaced if they are of an older revision, or
    if a function, a view or an index of ours was dropped: it is created again (an index while
    writers wait). The schema ``messagedb`` is created or upgraded, too. A genuine Message DB is not
    changed, except that it gets the schema ``messagedb``. Messages are not changed. Clients may
    continue to read and write meanwhile: each call sees the old functions or the new ones.

    One transaction does it, under the lock of `install_async`.

    Example::

        await schema.upgrade_async("postgresql://postgres@localhost/shop")

    Args:
        conninfo: a connection string, or '' for libpq's environment, of the owner of the Message DB
            or of a superuser.
        schema: the schema of the Message DB.

    Returns:
        True if anything was changed, False if the installation was complete and of this revision.

    Raises:
        ValidationError: the connection string or the schema's name is invalid. Nothing was sent.
        StoreUnavailableError: the server cannot be reached, or refused the login. Nothing was sent.
            If the connection was lost meanwhile, it is done or not done: call this again.
        IncompatibleServerError: there is no Message DB, it is of a newer revision than this library
            knows, or the role may not change it; the text names the fix. Nothing was changed.
        RetryableError: another installation did not end within 60 seconds. Nothing was changed.
        ServerError: the server refused a statement; the text is the server's. Nothing was changed.
    """
    conninfo = plan.check_conninfo(conninfo)
    plan.check_schema_name(schema)
    conn = await connect(conninfo)
    try:
        if not plan_upgrade(*await _find_revision(conn, schema), schema):
            return False
        async with conn.transaction():
            await begin(conn)
            texts = plan_upgrade(*await _find_revision(conn, schema), schema)
            await execute_all(conn, texts)
        return bool(texts)
    except psycopg.Error as error:
        raise change_error(error, is_connection_lost(error, conn.closed)) from error
    finally:
        await conn.close()


async def uninstall_async(
    conninfo: str = "", *, schema: str = "message_store", drop_messages: bool = False
) -> bool:
    """Remove the Message DB that `install_async` created, with all messages in it.

    The table, functions, views and the trigger of `install_notify_async` are dropped. The schema is
    dropped if it contains nothing else. The positions of consumers in this store are deleted, too;
    the schema ``messagedb`` is dropped with the last store of the database. The role
    ``message_store`` stays, because it belongs to the whole cluster. A Message DB that messagedb
    did not install is refused, and not changed.

    One transaction does it, under the lock of `install_async`. It acquires ACCESS EXCLUSIVE on
    ``messages``: it waits, up to 60 seconds, for the transactions that have read or written, and
    all others wait behind it, and then find no table.

    Example::

        await schema.uninstall_async("postgresql://postgres@localhost/shop", drop_messages=True)

    Args:
        conninfo: a connection string, or '' for libpq's environment, of the owner of the Message DB
            or of a superuser.
        schema: the schema of the Message DB.
        drop_messages: allow it to contain messages. They cannot be restored.

    Returns:
        True if it was removed, False if there was no Message DB.

    Raises:
        ValidationError: it contains messages and *drop_messages* is False, or the connection string
            or the schema's name is invalid. Nothing was changed.
        StoreUnavailableError: the server cannot be reached, or refused the login. Nothing was sent.
            If the connection was lost meanwhile, it is done or not done: call this again.
        IncompatibleServerError: messagedb did not install the Message DB, another object in the
            database depends on it, or the role may not drop it; the text names the fix. Nothing was
            changed.
        RetryableError: the lock of the table, or of another installation, was not free within 60
            seconds. Nothing was changed.
        ServerError: the server refused a statement; the text is the server's. Nothing was changed.
    """
    conninfo = plan.check_conninfo(conninfo)
    plan.check_schema_name(schema)
    conn = await connect(conninfo)
    try:
        async with conn.transaction():
            await begin(conn)
            facts, found = await _find_revision(conn, schema)
            has_messages = False
            notify: list[str] = []
            if found.number is not None and found.is_owner:
                await conn.execute(build_lock_table(schema).encode())
                cursor = await conn.execute(build_has_messages(schema).encode())
                has_messages = bool((await cursor.fetchall())[0][0])
                cursor = await conn.execute(INSPECT_NOTIFY, [schema])
                trigger = parse_notify_info((await cursor.fetchall())[0])
                notify = plan_remove_notify(facts, trigger, schema)
            texts = plan_uninstall(
                facts, found, schema, has_messages=has_messages, drop_messages=drop_messages
            )
            await execute_all(conn, [*notify, *texts])
        return bool(texts)
    except psycopg.Error as error:
        raise change_error(error, is_connection_lost(error, conn.closed)) from error
    finally:
        await conn.close()


async def _find_revision(conn: AsyncConnection[Any], schema: str) -> tuple[DatabaseInfo, Revision]:
    facts = await inspect_database(conn, schema)
    cursor = await conn.execute(INSPECT_REVISION, [schema])
    return facts, parse_revision((await cursor.fetchall())[0])

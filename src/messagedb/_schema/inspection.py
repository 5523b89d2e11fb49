"""The facts about a database before the library's SQL is run there, and the query for them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

INSPECT: Final = """
SELECT
    current_setting('server_version_num')::int,
    getdatabaseencoding()::text,
    pg_is_in_recovery(),
    current_setting('transaction_read_only') = 'on',
    current_database()::text,
    current_user::text,
    r.rolsuper OR r.rolcreaterole,
    EXISTS (SELECT FROM pg_roles WHERE rolname = 'message_store'),
    n.oid IS NOT NULL,
    CASE
        WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
        ELSE has_schema_privilege(n.oid, 'CREATE')
    END,
    EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid AND relname = 'messages'),
    ARRAY(SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = n.oid),
    CASE
        WHEN o.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
        ELSE pg_has_role(o.nspowner, 'USAGE') AND has_schema_privilege(o.oid, 'CREATE')
    END,
    ARRAY(
        SELECT relname::text FROM pg_class
        WHERE relnamespace = o.oid AND relname IN ('positions', 'schema_version', 'consumer_status')
    )
FROM pg_roles AS r
LEFT JOIN pg_namespace AS n ON n.nspname = %s
LEFT JOIN pg_namespace AS o ON o.nspname = 'messagedb'
WHERE r.rolname = current_user
"""
"""The query for a `DatabaseInfo`, with the schema's name as parameter. Reads catalogs only."""


class DatabaseInfo(msgspec.Struct, frozen=True):
    """The facts about a database and the installing role, as returned by `INSPECT`.

    Attributes:
        may_create_messagedb: whether the role may create the schema ``messagedb``, or owns the
            existing one.
        messagedb_tables: those of the library's three tables that exist.
        schema_version: the version of the schema ``messagedb``; None if it does not exist or was
            not queried.
    """

    server_version: int
    encoding: str
    in_recovery: bool
    read_only: bool
    database: str
    user: str
    may_create_role: bool
    role_exists: bool
    schema_exists: bool
    may_create: bool
    has_messages: bool
    functions: list[str]
    may_create_messagedb: bool
    messagedb_tables: list[str]
    schema_version: int | None = None


def parse_database_info(row: tuple[Any, ...]) -> DatabaseInfo:
    """Return the facts from the row that `INSPECT` returned."""
    return DatabaseInfo(*row)


def add_schema_version(facts: DatabaseInfo, row: tuple[Any, ...]) -> DatabaseInfo:
    """Add the version of the schema ``messagedb`` from the row of ``SELECT_SCHEMA_VERSION``."""
    return msgspec.structs.replace(facts, schema_version=row[0])

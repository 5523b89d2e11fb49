"""The trigger that notifies listeners of new messages: its statements and plan. No I/O."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg

from .._connection.error_mapping import get_first_line, map_error
from .._errors import IncompatibleServerError, MessageDBError
from .._sql.statements import quoted
from .install_plan import ROLE, add_role, check_not_standby
from .messagedb_schema import MESSAGEDB_SCHEMA, plan_messagedb_schema
from .sql_files import load_sql

if TYPE_CHECKING:
    from .inspection import DatabaseInfo

_CHANNEL: Final = "messagedb"
_WAIT_CHANNEL: Final = "messagedb waits"
_LONGEST_CHANNEL: Final = 63
"""The most bytes that PostgreSQL accepts for the name of a channel."""

TRIGGER: Final = "messagedb_notify"
"""The trigger's name, on the table ``messages`` of a Message DB."""

FUNCTION: Final = "messagedb.notify_of_messages()"
"""The function of the triggers: one for all Message DBs of a database."""

INSPECT_NOTIFY: Final = """
SELECT
    coalesce(c.relkind IN ('r', 'p'), false),
    coalesce(pg_get_userbyid(c.relowner)::text, ''),
    coalesce(pg_has_role(c.relowner, 'USAGE'), false),
    t.oid IS NOT NULL,
    coalesce(t.tgfoid = f.oid, false),
    f.oid IS NOT NULL,
    coalesce(pg_has_role(f.proowner, 'USAGE'), false)
        AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = f.oid AND tgrelid <> c.oid),
    coalesce(has_schema_privilege(o.oid, 'USAGE'), false),
    coalesce(has_schema_privilege(o.oid, 'CREATE'), false)
FROM (VALUES (%s::text)) AS wanted (name)
LEFT JOIN pg_namespace AS n ON n.nspname = wanted.name
LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = 'messages'
LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid AND t.tgname = 'messagedb_notify'
LEFT JOIN pg_namespace AS o ON o.nspname = 'messagedb'
LEFT JOIN pg_proc AS f
    ON f.pronamespace = o.oid AND f.proname = 'notify_of_messages' AND f.pronargs = 0
"""
"""The query for a `NotifyInfo`, with the schema's name as parameter. Reads catalogs only."""

NOTHING: Final = "Nothing was changed."


class NotifyInfo(msgspec.Struct, frozen=True):
    """The facts about the table and its trigger, as returned by `INSPECT_NOTIFY`.

    Attributes:
        has_table: whether ``messages`` is a table, and not a view or a foreign table.
        trigger_is_ours: whether the trigger of our name calls our function.
        is_function_unused: whether the role may drop the function, and no trigger of another table
            calls it.
    """

    has_table: bool
    owner: str
    is_owner: bool
    has_trigger: bool
    trigger_is_ours: bool
    has_function: bool
    is_function_unused: bool
    may_use_messagedb: bool
    may_create_function: bool


def get_channel(schema: str) -> str:
    """Return the channel of the notifications of a store.

    The payload is a category, or '' if it is not named.
    """
    if schema == "message_store":
        return _CHANNEL
    name = f"{_CHANNEL}:{schema}"
    if len(name.encode()) <= _LONGEST_CHANNEL:
        return name
    return f"{_CHANNEL}:{hashlib.md5(schema.encode(), usedforsecurity=False).hexdigest()}"


def get_wait_channel(schema: str) -> str:
    """Return the channel on which waits for consumers of a store are announced to them."""
    name = f"{_WAIT_CHANNEL}:{schema}"
    if len(name.encode()) <= _LONGEST_CHANNEL:
        return name
    return f"{_WAIT_CHANNEL}:{hashlib.md5(schema.encode(), usedforsecurity=False).hexdigest()}"


def parse_notify_info(row: tuple[Any, ...]) -> NotifyInfo:
    """Return the facts from the row that `INSPECT_NOTIFY` returned."""
    return NotifyInfo(*row)


def plan_install_notify(facts: DatabaseInfo, found: NotifyInfo, schema: str) -> list[str]:
    """Return the statements that create the trigger, in order; empty if it exists.

    Raises:
        IncompatibleServerError: it cannot be created; the error names the fix.
    """
    _check_table(facts, found, schema)
    if found.trigger_is_ours:
        return []
    if found.has_trigger:
        raise IncompatibleServerError(
            f"the table 'messages' of {_describe_location(facts, schema)} has a trigger "
            f"{TRIGGER!r} that is not messagedb's: rename it. {NOTHING}"
        )
    _check_rights(facts, found, schema)
    own = plan_messagedb_schema(facts)
    may_create = bool(own and not facts.messagedb_tables) or found.may_create_function
    if not (found.has_function and found.may_use_messagedb) and not may_create:
        raise IncompatibleServerError(_cannot_create_function_text(facts))
    texts = add_role(facts, own)
    if not found.has_function:
        texts = [*texts, load_sql("notify_function", schema)]
    return [*texts, load_sql("notify_trigger", schema)]


def plan_remove_notify(facts: DatabaseInfo, found: NotifyInfo, schema: str) -> list[str]:
    """Return the statements that remove the trigger; empty if it does not exist.

    The function is removed with the last trigger that calls it.

    Raises:
        IncompatibleServerError: it cannot be removed; the error names the fix.
    """
    _check_table(facts, found, schema)
    if not found.trigger_is_ours:
        return []
    _check_rights(facts, found, schema)
    texts = [f"DROP TRIGGER {TRIGGER} ON {quoted(schema)}.messages"]
    if found.is_function_unused:
        texts.append(f"DROP FUNCTION {FUNCTION}")
    return texts


def notify_error(error: psycopg.Error, lost: bool) -> MessageDBError:
    """Return our error for one from these steps; *lost*: whether it ended the connection."""
    if lost:
        return map_error(
            error, "The change is one transaction: it is complete or not made. Repeat the call."
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return IncompatibleServerError(
            f"the role lacks a privilege for the trigger ({get_first_line(error)}). Connect as the "
            f"owner of the table 'messages' or as a superuser. {NOTHING}"
        )
    return map_error(error, NOTHING)


def _check_table(facts: DatabaseInfo, found: NotifyInfo, schema: str) -> None:
    if not found.has_table:
        raise IncompatibleServerError(
            f"there is no table 'messages' in {_describe_location(facts, schema)}, which the "
            "trigger needs. Install Message DB with messagedb.schema.install(), or name its "
            "schema with schema=; if this database passes its calls to others, connect to "
            f"each of those. {NOTHING}"
        )


def _check_rights(facts: DatabaseInfo, found: NotifyInfo, schema: str) -> None:
    check_not_standby(facts, NOTHING)
    if not found.is_owner:
        raise IncompatibleServerError(
            f"role {facts.user!r} is not the owner of the table 'messages' of "
            f"{_describe_location(facts, schema)}, and only the owner may change its triggers: "
            f"connect as {found.owner!r}, or as a superuser. {NOTHING}"
        )


def _cannot_create_function_text(facts: DatabaseInfo) -> str:
    if facts.messagedb_tables:
        cure = f"connect as the owner of schema {MESSAGEDB_SCHEMA!r}, or as a superuser"
    elif not facts.role_exists:
        cure = f"have an administrator run CREATE ROLE {ROLE} LOGIN"
    else:
        cure = (
            f"have the owner of database {facts.database!r} run messagedb.schema.install(), or "
            f"GRANT CREATE ON DATABASE {quoted(facts.database)} TO {quoted(facts.user)}"
        )
    return (
        f"the function of the trigger belongs into the schema {MESSAGEDB_SCHEMA!r}, and role "
        f"{facts.user!r} may not create it there: {cure}. {NOTHING}"
    )


def _describe_location(facts: DatabaseInfo, schema: str) -> str:
    return f"schema {schema!r} in database {facts.database!r}"

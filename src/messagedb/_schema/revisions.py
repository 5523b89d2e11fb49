"""The revision of our SQL in a database: its upgrade and removal. No I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg

from .._connection.error_mapping import get_first_line, map_error
from .._errors import IncompatibleServerError, MessageDBError, ValidationError
from .._sql.statements import quoted
from .install_plan import add_role, check_not_standby
from .messagedb_schema import has_status_table, plan_messagedb_schema
from .sql_files import load_sql

if TYPE_CHECKING:
    from .inspection import DatabaseInfo

REVISION: Final = 2
"""The revision of the functions and views that this library installs."""

INSPECT_REVISION: Final = """
SELECT
    EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid AND relname = 'messages'),
    obj_description(f.oid, 'pg_proc'),
    coalesce(pg_has_role(f.proowner, 'USAGE'), false),
    coalesce(pg_get_userbyid(f.proowner)::text, ''),
    ARRAY(SELECT proname || '/' || pronargs FROM pg_proc WHERE pronamespace = n.oid),
    ARRAY(SELECT relname::text FROM pg_class WHERE relnamespace = n.oid AND relkind = 'v'),
    ARRAY(SELECT c.relname::text FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
          WHERE c.relnamespace = n.oid AND i.indisvalid),
    ARRAY(SELECT c.relname::text FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
          WHERE c.relnamespace = n.oid AND NOT i.indisvalid),
    EXISTS (SELECT FROM pg_type WHERE typnamespace = n.oid AND typname = 'message')
FROM (VALUES (%s::text)) AS wanted (name)
LEFT JOIN pg_namespace AS n ON n.nspname = wanted.name
LEFT JOIN pg_proc AS f
    ON f.pronamespace = n.oid AND f.proname = 'message_store_version' AND f.pronargs = 0
"""
"""The query for a `Revision`, with the schema's name as parameter. Reads catalogs only."""

# The objects that can be replaced in place. The table, its type and indexes cannot.
_REPLACEABLE: Final = (
    "stream_names",
    "message_store_version",
    "acquire_lock",
    "stream_version",
    "write_message",
    "get_stream_messages",
    "get_category_messages",
    "get_last_stream_message",
    "views",
    "privileges",
)
_COMMENT: Final = re.compile(r"messagedb schema revision ([0-9]{1,9})").fullmatch
_CREATE: Final = re.compile(r"^CREATE (?=FUNCTION|VIEW)", re.M)

_CREATE_TYPE: Final = re.compile(r"^CREATE TYPE .*?;$", re.M | re.S)
_CREATE_INDEX: Final = re.compile(r"^CREATE (?:UNIQUE )?INDEX .*?;$", re.M | re.S)

NOTHING: Final = "Nothing was changed."

FUNCTIONS: Final = (
    "acquire_lock/1",
    "cardinal_id/1",
    "category/1",
    "get_category_messages/7",
    "get_last_stream_message/2",
    "get_stream_messages/4",
    "hash_64/1",
    "id/1",
    "is_category/1",
    "message_store_version/0",
    "stream_version/1",
    "write_message/6",
)
"""The functions of Message DB 1.3, as name/number of parameters."""

VIEWS: Final = (
    "category_type_summary",
    "stream_summary",
    "stream_type_summary",
    "type_category_summary",
    "type_stream_summary",
    "type_summary",
)
"""The views of Message DB."""

# In the order of their file.
INDEXES: Final = ("messages_id", "messages_stream", "messages_category")
"""The indexes of Message DB, except that of the primary key."""


class Revision(msgspec.Struct, frozen=True):
    """The facts about the Message DB of a schema, as returned by `INSPECT_REVISION`.

    Attributes:
        comment: the comment on ``message_store_version()``: ours contains the revision.
        functions: as name/number of parameters.
        indexes: the valid ones.
    """

    has_table: bool
    comment: str | None
    is_owner: bool
    owner: str
    functions: list[str]
    views: list[str]
    indexes: list[str]
    invalid_indexes: list[str]
    has_type: bool

    @property
    def number(self) -> int | None:
        """The revision of our SQL; None if there is no Message DB or it is not ours."""
        match = _COMMENT(self.comment or "")
        return int(match[1]) if match and self.has_table else None

    @property
    def is_whole(self) -> bool:
        """Return True if every function, view and index of ours exists."""
        return (
            self.has_type
            and set(FUNCTIONS) <= set(self.functions)
            and set(VIEWS) <= set(self.views)
            and set(INDEXES) <= set(self.indexes)
        )


def parse_revision(row: tuple[Any, ...]) -> Revision:
    """Return the revision from the row that `INSPECT_REVISION` returned."""
    return Revision(*row)


def plan_upgrade(facts: DatabaseInfo, revision: Revision, schema: str) -> list[str]:
    """Return the statements that upgrade our SQL to this revision; empty if it is complete.

    Dropped parts are created again. A Message DB that is not ours is not changed; the schema
    ``messagedb`` beside it is.

    Raises:
        IncompatibleServerError: there is no Message DB, it is newer than this library, or the role
            may not change it; the error names the fix.
    """
    where = _describe_location(facts, schema)
    if "get_category_messages" not in facts.functions and revision.number is None:
        raise IncompatibleServerError(
            f"there is no Message DB in {where}: install it with messagedb.schema.install(), or "
            f"name its schema with schema=. {NOTHING}"
        )
    messagedb_schema = plan_messagedb_schema(facts)
    if revision.number is None or (revision.number == REVISION and revision.is_whole):
        return add_role(facts, messagedb_schema)
    if revision.number > REVISION:
        raise IncompatibleServerError(
            f"the Message DB in {where} has revision {revision.number}, installed by a newer "
            f"messagedb; this one knows {REVISION}. It can be used unchanged: upgrade this library."
            f" {NOTHING}"
        )
    check_not_standby(facts, NOTHING)
    _check_owner(facts, revision, where)
    texts = [_CREATE.sub("CREATE OR REPLACE ", load_sql(name, schema)) for name in _REPLACEABLE]
    if not revision.has_type:
        texts.insert(0, _CREATE_TYPE.findall(load_sql("messages", schema))[0])
    for name, create in zip(
        INDEXES, _CREATE_INDEX.findall(load_sql("indexes", schema)), strict=True
    ):
        if name in revision.invalid_indexes:
            texts.append(f"REINDEX INDEX {quoted(schema)}.{name}")
        elif name not in revision.indexes:
            texts.append(create)
    return add_role(facts, [*texts, *messagedb_schema])


def plan_uninstall(
    facts: DatabaseInfo, revision: Revision, schema: str, *, has_messages: bool, drop_messages: bool
) -> list[str]:
    """Return the statements that remove what `install` created; empty if it does not exist.

    Raises:
        ValidationError: it contains messages, and *drop_messages* is not set.
        IncompatibleServerError: the Message DB is not ours, or the role may not drop it.
    """
    where = _describe_location(facts, schema)
    if not revision.has_table and "get_category_messages" not in facts.functions:
        return []
    if revision.number is None:
        raise IncompatibleServerError(
            f"the Message DB in {where} was not installed by messagedb: remove it with the tool "
            f"that installed it. {NOTHING}"
        )
    check_not_standby(facts, NOTHING)
    _check_owner(facts, revision, where)
    if has_messages and not drop_messages:
        raise ValidationError(
            f"the Message DB in {where} contains messages, which would be deleted: pass "
            f"drop_messages=True to confirm this. {NOTHING}"
        )
    texts = [load_sql("uninstall", schema)]
    if facts.messagedb_tables and facts.may_create_messagedb:
        store = schema.replace("'", "''")
        texts.append(f"DELETE FROM messagedb.positions WHERE store = '{store}'")
        if has_status_table(facts):
            texts.append(f"DELETE FROM messagedb.consumer_status WHERE store = '{store}'")
        texts.append(load_sql("own_uninstall", schema))
    return texts


def build_lock_table(schema: str) -> str:
    """Return the statement that locks the table exclusively until the end of the transaction."""
    return f"LOCK TABLE {quoted(schema)}.messages IN ACCESS EXCLUSIVE MODE"


def build_has_messages(schema: str) -> str:
    """Return the query whether there is a message."""
    return f"SELECT EXISTS (SELECT FROM {quoted(schema)}.messages)"


def change_error(error: psycopg.Error, lost: bool) -> MessageDBError:
    """Return our error for one from these steps; *lost*: whether it ended the connection."""
    if lost:
        return map_error(
            error, "The change is one transaction: it is complete or not made. Repeat the call."
        )
    if isinstance(error, psycopg.errors.DependentObjectsStillExist):
        detail = " ".join((error.diag.message_detail or "").split())
        return IncompatibleServerError(
            f"other objects in the database depend on Message DB ({get_first_line(error)}"
            f"{': ' if detail else ''}{detail}): drop these first. {NOTHING}"
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return IncompatibleServerError(
            f"the role may not change Message DB ({get_first_line(error)}). Connect as its owner "
            f"or as a superuser. {NOTHING}"
        )
    return map_error(error, NOTHING)


def _describe_location(facts: DatabaseInfo, schema: str) -> str:
    return f"schema {schema!r} of database {facts.database!r}"


def _check_owner(facts: DatabaseInfo, revision: Revision, where: str) -> None:
    if not revision.is_owner:
        raise IncompatibleServerError(
            f"role {facts.user!r} is not the owner of the Message DB in {where}: connect as "
            f"{revision.owner!r}, or as a superuser. {NOTHING}"
        )

"""Our separate schema ``messagedb``: what is missing of it in a database, as statements; no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._errors import IncompatibleServerError
from .sql_files import load_sql

if TYPE_CHECKING:
    from .inspection import DatabaseInfo

MESSAGEDB_SCHEMA: Final = "messagedb"
"""The name of our schema. It serves every Message DB of a database, and is never another."""

# The file at index v leads from version v to the next; the first makes the schema.
_FILES: Final = ("own_1",)

VERSION: Final = len(_FILES)
"""The version of our schema that this library makes and uses."""

SELECT_SCHEMA_VERSION: Final = "SELECT coalesce(max(version), 0) FROM messagedb.schema_version"
"""Asks for the version of our schema, where `is_version_readable` says that it can be asked."""

_TABLES: Final = 2


def is_version_readable(facts: DatabaseInfo) -> bool:
    """Whether the version of our schema can be asked for, and matters: the role could change it."""
    return facts.may_create_messagedb and len(facts.messagedb_tables) == _TABLES


def plan_messagedb_schema(facts: DatabaseInfo) -> list[str]:
    """Return the statements that make our schema, or bring it to this version, in order.

    They need the role ``message_store``. None if nothing is missing, and none if it cannot be made
    here: on a standby, in a read-only database, or by a role that may not create schemas.

    Raises:
        IncompatibleServerError: what is in a schema of this name is not ours.
    """
    role_can_be_there = facts.role_exists or facts.may_create_role
    if (
        facts.in_recovery
        or facts.read_only
        or not facts.may_create_messagedb
        or not role_can_be_there
    ):
        return []
    if len(facts.messagedb_tables) not in (0, _TABLES):
        raise IncompatibleServerError(
            f"schema {MESSAGEDB_SCHEMA!r} in database {facts.database!r} has a table "
            f"{facts.messagedb_tables[0]!r} that is not messagedb's: messagedb keeps the positions "
            "of consumers in a schema of this name. Rename that table or that schema. Nothing was "
            "installed."
        )
    return [load_sql(name, MESSAGEDB_SCHEMA) for name in _FILES[facts.schema_version or 0 :]]


def build_messagedb_script() -> list[str]:
    """Return the statements of every version; those of a version that is there change nothing."""
    return [load_sql(name, MESSAGEDB_SCHEMA) for name in _FILES]

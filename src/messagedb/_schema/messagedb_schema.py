"""The separate schema ``messagedb``: its missing parts in a database, as statements. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._errors import IncompatibleServerError
from .sql_files import load_sql

if TYPE_CHECKING:
    from .inspection import DatabaseInfo

MESSAGEDB_SCHEMA: Final = "messagedb"
"""The name of the library's schema. It serves every Message DB of a database, and is fixed."""

# The file at index v upgrades version v to the next; the first one creates the schema.
_FILES: Final = ("own_1", "own_2", "own_3")

VERSION: Final = len(_FILES)
"""The version of the schema ``messagedb`` that this library creates and uses."""

SELECT_SCHEMA_VERSION: Final = "SELECT coalesce(max(version), 0) FROM messagedb.schema_version"
"""The query for the version of the schema ``messagedb``, if `is_version_readable` allows it."""

_STATUS: Final = "consumer_status"
_FIRST_TABLES: Final = 2


def is_version_readable(facts: DatabaseInfo) -> bool:
    """Return True if the schema's version can be queried and the role could upgrade it."""
    return facts.may_create_messagedb and len(_list_first_tables(facts)) == _FIRST_TABLES


def plan_messagedb_schema(facts: DatabaseInfo) -> list[str]:
    """Return the statements that create the schema, or upgrade it to this version, in order.

    They need the role ``message_store``. Empty if nothing is missing, and if it cannot be created
    here: on a standby, in a read-only database, or by a role that may not create schemas.

    Raises:
        IncompatibleServerError: a schema of this name contains another application's table.
    """
    role_can_be_there = facts.role_exists or facts.may_create_role
    if (
        facts.in_recovery
        or facts.read_only
        or not facts.may_create_messagedb
        or not role_can_be_there
    ):
        return []
    found = _list_first_tables(facts) or facts.messagedb_tables
    if len(found) not in (0, _FIRST_TABLES):
        raise IncompatibleServerError(
            f"schema {MESSAGEDB_SCHEMA!r} in database {facts.database!r} has a table "
            f"{found[0]!r} that is not messagedb's: messagedb keeps the positions "
            "of consumers in a schema of this name. Rename that table or that schema. Nothing was "
            "installed."
        )
    return [load_sql(name, MESSAGEDB_SCHEMA) for name in _FILES[facts.schema_version or 0 :]]


def has_status_table(facts: DatabaseInfo) -> bool:
    """Return True if there is a table of the consumers' reports."""
    return _STATUS in facts.messagedb_tables


def _list_first_tables(facts: DatabaseInfo) -> list[str]:
    return [name for name in facts.messagedb_tables if name != _STATUS]


def build_messagedb_script() -> list[str]:
    """Return the statements of every version; those of an existing version change nothing."""
    return [load_sql(name, MESSAGEDB_SCHEMA) for name in _FILES]

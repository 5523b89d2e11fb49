"""Our separate schema ``messagedb``: what is missing of it in a database, as statements; no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._errors import IncompatibleServerError
from .sql_files import text_of

if TYPE_CHECKING:
    from .inspection import Facts

OWN_SCHEMA: Final = "messagedb"
"""The name of our schema. It serves every Message DB of a database, and is never another."""

# The file at index v leads from version v to the next; the first makes the schema.
_FILES: Final = ("own_1",)

VERSION: Final = len(_FILES)
"""The version of our schema that this library makes and uses."""

OWN_VERSION: Final = "SELECT coalesce(max(version), 0) FROM messagedb.schema_version"
"""Asks for the version of our schema, where `is_asked_for` says that it can be asked."""

_TABLES: Final = 2


def is_asked_for(facts: Facts) -> bool:
    """Whether the version of our schema can be asked for, and matters: the role could change it."""
    return facts.may_create_own and len(facts.own_tables) == _TABLES


def own_steps(facts: Facts) -> list[str]:
    """Return the statements that make our schema, or bring it to this version, in order.

    They need the role ``message_store``. None if nothing is missing, and none if it cannot be made
    here: on a standby, in a read-only database, or by a role that may not create schemas.

    Raises:
        IncompatibleServerError: what is in a schema of this name is not ours.
    """
    role_can_be_there = facts.role_exists or facts.may_create_role
    if facts.in_recovery or facts.read_only or not facts.may_create_own or not role_can_be_there:
        return []
    if len(facts.own_tables) not in (0, _TABLES):
        raise IncompatibleServerError(
            f"schema {OWN_SCHEMA!r} in database {facts.database!r} has a table "
            f"{facts.own_tables[0]!r} that is not messagedb's: messagedb keeps the positions of "
            "consumers in a schema of this name. Rename that table or that schema. Nothing was "
            "installed."
        )
    return [text_of(name, OWN_SCHEMA) for name in _FILES[facts.own_version or 0 :]]


def own_script() -> list[str]:
    """Return the statements of every version; those of a version that is there change nothing."""
    return [text_of(name, OWN_SCHEMA) for name in _FILES]

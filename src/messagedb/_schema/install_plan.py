"""The SQL of our Message DB schema, and the plan for installing it in a database. No I/O."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict

from .._connection import conninfo as _conninfo
from .._connection.error_mapping import get_first_line, map_error
from .._errors import IncompatibleServerError, MessageDBError, ValidationError
from .._sql.statements import quoted
from .inspection import DatabaseInfo
from .messagedb_schema import MESSAGEDB_SCHEMA, build_messagedb_script, plan_messagedb_schema
from .sql_files import load_sql

VERSION: Final = "1.3.0"
"""The version of Message DB with this interface; the result of ``message_store_version()``."""

ROLE: Final = "message_store"
"""The role that may use the schema, whatever the schema's name. It belongs to the whole cluster."""

OLDEST_SERVER: Final = 140000
"""The oldest PostgreSQL that the SQL runs on, as ``server_version_num``."""

LOCK_KEYS: Final = (1835295858, 1)
"""The advisory lock of an installation: a pair, as the 64-bit keys are those of the categories."""

CONNECT_SECONDS: Final = 10
"""The connect timeout if the connection string has none."""

LOCK_SECONDS: Final = 60
"""The longest time that an installation waits for another one."""

# In the order in which they can be run. The first two are omitted if their object exists.
_ROLE_FILE: Final = "role"
_SCHEMA_FILE: Final = "schema"
_FILES: Final = (
    "messages",
    "stream_names",
    "message_store_version",
    "indexes",
    "acquire_lock",
    "stream_version",
    "write_message",
    "get_stream_messages",
    "get_category_messages",
    "get_last_stream_message",
    "views",
    "privileges",
)

# The delimiter of the functions' bodies.
_QUOTE: Final = "$messagedb$"

# The functions that identify a Message DB. Not the table: a database that passes the calls to
# others has none, and another application's table may be called "messages".
_FINGERPRINT_FUNCTIONS: Final = (
    "category",
    "get_category_messages",
    "get_stream_messages",
    "write_message",
)

SET_UP: Final = (
    "SELECT set_config('search_path', 'pg_catalog', true), "
    f"set_config('lock_timeout', '{LOCK_SECONDS}s', true), "
    "set_config('client_min_messages', 'warning', true)"
)
"""The settings of the one transaction of an installation."""

LOCK: Final = "SELECT pg_advisory_xact_lock({}, {})".format(*LOCK_KEYS)
"""Waits for another installation in this database, and blocks others until the end."""


class InstallPlan(msgspec.Struct, frozen=True):
    """The statements to be run in a database.

    Attributes:
        statements: the statements in order, several in one string; empty if nothing is missing.
        installs: whether they install Message DB itself.
    """

    statements: list[str]
    installs: bool


def plan_install(facts: DatabaseInfo, schema: str) -> InstallPlan:
    """Return the missing parts: Message DB, if there is none, and the schema ``messagedb``.

    Raises:
        IncompatibleServerError: it cannot be installed there; the error names the fix.
        ValidationError: the schema's name is invalid.
    """
    check_schema_name(schema)
    own = plan_messagedb_schema(facts)
    if all(name in facts.functions for name in _FINGERPRINT_FUNCTIONS):
        return InstallPlan(add_role(facts, own), installs=False)
    _check_installable(facts, schema)
    files = _FILES if facts.schema_exists else (_SCHEMA_FILE, *_FILES)
    message_db = [load_sql(name, schema) for name in files]
    return InstallPlan(add_role(facts, [*message_db, *own]), installs=True)


def add_role(facts: DatabaseInfo, texts: list[str]) -> list[str]:
    """Create the role before statements that grant something to it, if it is missing."""
    if facts.role_exists or not texts:
        return texts
    return [load_sql(_ROLE_FILE, MESSAGEDB_SCHEMA), *texts]


def build_script(*, schema: str = "message_store") -> str:
    """Return the SQL that `install` runs, as one script for ``psql``, in one transaction.

    For a database whose administrator runs SQL manually. It checks nothing first: in a database
    that has a Message DB in this schema it fails, and leaves that one unchanged. The schema
    ``messagedb`` may already exist.

    Example::

        Path("message_db.sql").write_text(schema.build_script())

    Args:
        schema: the schema to create and install in.

    Raises:
        ValidationError: the schema's name is invalid.
    """
    check_schema_name(schema)
    header = (
        f"-- The interface of Message DB {VERSION}, by messagedb. PostgreSQL "
        f"{OLDEST_SERVER // 10000} or later, a database in UTF8.\n"
    )
    body = [load_sql(name, schema) for name in (_ROLE_FILE, _SCHEMA_FILE, *_FILES)]
    return "\n".join(
        [
            header,
            "BEGIN;\n",
            "SET LOCAL search_path = pg_catalog;\n",
            *body,
            *build_messagedb_script(),
            "COMMIT;\n",
        ]
    )


def install_error(error: psycopg.Error, lost: bool) -> MessageDBError:
    """Return our error for one from an installation; *lost*: whether it ended the connection."""
    if lost:
        return map_error(
            error,
            "The installation is one transaction: it is complete or not there. Call install() "
            "again.",
        )
    end = "Nothing was installed: the installation is one transaction."
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return IncompatibleServerError(
            f"the role lacks a privilege for the installation ({get_first_line(error)}). Install "
            f"as the owner of the database or as a superuser. {end}"
        )
    return map_error(error, end)


def check_schema_name(schema: Any) -> None:
    """Refuse an invalid name of a schema.

    Raises:
        ValidationError: it names the reason.
    """
    if not isinstance(schema, str):
        raise ValidationError(f"schema must be a str, not {type(schema).__name__}")
    try:
        size = len(schema.encode())
    except UnicodeEncodeError:
        size = 0
    if not 1 <= size <= 63 or "\0" in schema:
        raise ValidationError(
            f"schema must be a name of 1 to 63 bytes in UTF-8, without NUL, not {schema!r}"
        )
    if schema.startswith("pg_") or schema == "information_schema" or _QUOTE in schema:
        raise ValidationError(
            f"schema must not be one of PostgreSQL's own, begin with 'pg_' or contain {_QUOTE!r}: "
            f"not {schema!r}"
        )
    if schema == MESSAGEDB_SCHEMA:
        raise ValidationError(
            f"schema must not be {MESSAGEDB_SCHEMA!r}: messagedb keeps the positions of consumers "
            "in a schema of that name, beside Message DB"
        )


def check_conninfo(conninfo: Any) -> _conninfo.Address:
    """Refuse an invalid connection string, without showing it: it may contain a password.

    Raises:
        ValidationError: it describes the required form.
    """
    if isinstance(conninfo, str) and conninfo.startswith("embedded:"):
        raise ValidationError(
            "install() does not support an 'embedded:' address: "
            "messagedb.embedded.start() and a client with that address install the schema "
            "automatically"
        )
    _conninfo.check_conninfo(conninfo)
    return _conninfo.Address(conninfo)


def connect_arguments(conninfo: str) -> dict[str, Any]:
    """Return the arguments for connecting that the connection string does not already have."""
    arguments: dict[str, Any] = {"autocommit": True, "client_encoding": "UTF8"}
    if not conninfo_to_dict(conninfo).get("connect_timeout"):
        arguments["connect_timeout"] = CONNECT_SECONDS
    return arguments


def check_not_standby(facts: DatabaseInfo, state_note: str) -> None:
    """Refuse a server that accepts no writes; *state_note* describes the database's state.

    Raises:
        IncompatibleServerError: it is a standby, or the role's transactions are read-only.
    """
    if facts.in_recovery:
        raise IncompatibleServerError(
            "the server is a standby and accepts no writes: connect to the primary "
            f"(target_session_attrs=primary). {state_note}"
        )
    if facts.read_only:
        raise IncompatibleServerError(
            f"transactions of role {facts.user!r} in database {facts.database!r} are read-only: "
            f"set default_transaction_read_only = off. {state_note}"
        )


def _check_installable(facts: DatabaseInfo, schema: str) -> None:
    where = f"database {facts.database!r}"
    end = "Nothing was installed."
    if facts.has_messages:
        raise IncompatibleServerError(
            f"schema {schema!r} in {where} has a table 'messages' but not the functions of Message "
            "DB: the table may belong to another application. Name another schema with schema=, or "
            f"complete the installation there. {end}"
        )
    if facts.server_version < OLDEST_SERVER:
        raise IncompatibleServerError(
            f"the server is PostgreSQL {facts.server_version // 10000}, and the schema needs "
            f"{OLDEST_SERVER // 10000} or later: upgrade it. {end}"
        )
    check_not_standby(facts, end)
    if facts.encoding != "UTF8":
        raise IncompatibleServerError(
            f"{where} has the encoding {facts.encoding}; Message DB hashes the bytes of names, so "
            "consumer groups and locks of clients elsewhere would not agree. Create the database "
            f"with ENCODING 'UTF8' TEMPLATE template0. {end}"
        )
    if not facts.role_exists and not facts.may_create_role:
        raise IncompatibleServerError(
            f"the role {ROLE!r} does not exist and role {facts.user!r} may not create it. Have an "
            f"administrator run CREATE ROLE {ROLE} LOGIN, or install as a role with CREATEROLE. "
            f"{end}"
        )
    if not facts.may_create:
        if facts.schema_exists:
            what, on = f"in schema {schema!r} of {where}", f"SCHEMA {quoted(schema)}"
        else:
            what, on = f"schemas in {where}", f"DATABASE {quoted(facts.database)}"
        raise IncompatibleServerError(
            f"role {facts.user!r} may not create {what}. Have its owner run GRANT CREATE ON {on} "
            f"TO {quoted(facts.user)}, or install as the owner. {end}"
        )

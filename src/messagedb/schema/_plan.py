"""The SQL of our Message DB schema as text, and what to do with a database: decisions, no I/O."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any, Final

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict

from .. import _conninfo
from .._postgres_errors import first_line, translate
from .._sql import quoted
from ..errors import IncompatibleServerError, MessageDBError, ValidationError

VERSION: Final = "1.3.0"
"""The version of Message DB whose interface this is; what ``message_store_version()`` answers."""

ROLE: Final = "message_store"
"""The role that is granted the use of the schema, whatever its name. It is the whole cluster's."""

OLDEST_SERVER: Final = 140000
"""The oldest PostgreSQL that the SQL runs on, as ``server_version_num``."""

LOCK_KEYS: Final = (1835295858, 1)
"""The advisory lock of an installation: a pair, as the 64-bit keys are those of the categories."""

CONNECT_SECONDS: Final = 10
"""How long connecting may take where the connection string does not say."""

LOCK_SECONDS: Final = 60
"""How long an installation waits for one that another process has begun."""

# In the order in which they can be run. The first two are left out where their object is there.
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

_PACKAGE: Final = "messagedb.schema"
_PLACEHOLDER: Final = re.compile("@schema@|@schema_text@")

# What the bodies of the functions stand between.
_QUOTE: Final = "$messagedb$"

# What a Message DB is told by. Not the table: a database that passes the calls on to others has
# none, and somebody else's table may be called "messages".
_MARKS: Final = ("category", "get_category_messages", "get_stream_messages", "write_message")

SET_UP: Final = (
    "SELECT set_config('search_path', 'pg_catalog', true), "
    f"set_config('lock_timeout', '{LOCK_SECONDS}s', true), "
    "set_config('client_min_messages', 'warning', true)"
)
"""The settings of the one transaction of an installation."""

LOCK: Final = "SELECT pg_advisory_xact_lock({}, {})".format(*LOCK_KEYS)
"""Waits for another installation in this database, and keeps others waiting to the end."""

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
    ARRAY(SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = n.oid)
FROM pg_roles AS r
LEFT JOIN pg_namespace AS n ON n.nspname = %s
WHERE r.rolname = current_user
"""
"""Asks for a `Facts`, given the schema's name. Reads catalogs only."""


class Facts(msgspec.Struct, frozen=True):
    """What is known of a database and of the role that would install, as `INSPECT` gives it."""

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


def facts_from_row(row: tuple[Any, ...]) -> Facts:
    """The facts from the row that `INSPECT` gave."""
    return Facts(*row)


def steps(facts: Facts, schema: str) -> list[str]:
    """Return the statements that install Message DB there, in order; none if one is there already.

    Raises:
        IncompatibleServerError: it cannot be installed there; the text names the cure.
        ValidationError: the schema's name cannot be one.
    """
    check_schema_name(schema)
    if all(name in facts.functions for name in _MARKS):
        return []
    _refuse(facts, schema)
    first = [] if facts.role_exists else [_ROLE_FILE]
    if not facts.schema_exists:
        first.append(_SCHEMA_FILE)
    return [_text(name, schema) for name in (*first, *_FILES)]


def script(*, schema: str = "message_store") -> str:
    """Return the SQL that `install` runs, as one script for ``psql``, in one transaction.

    For a database whose administrator runs SQL by hand. It looks at nothing first: in a database
    that has a Message DB in this schema it fails, and leaves that one as it was.

    Args:
        schema: the schema to create and install in.

    Raises:
        ValidationError: the schema's name cannot be one.
    """
    check_schema_name(schema)
    header = (
        f"-- The interface of Message DB {VERSION}, by messagedb. PostgreSQL "
        f"{OLDEST_SERVER // 10000} or later, a database in UTF8.\n"
    )
    body = (_text(name, schema) for name in (_ROLE_FILE, _SCHEMA_FILE, *_FILES))
    return "\n".join(
        [header, "BEGIN;\n", "SET LOCAL search_path = pg_catalog;\n", *body, "COMMIT;\n"]
    )


def unsuccessful(error: psycopg.Error, lost: bool) -> MessageDBError:
    """Give our error for one out of an installation; *lost*: whether the connection died of it."""
    if lost:
        return translate(
            error,
            "The installation is one transaction: it is there whole or not at all. Call install() "
            "again.",
        )
    end = "Nothing was installed: the installation is one transaction."
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return IncompatibleServerError(
            f"the role may not do what the installation needs ({first_line(error)}). Install as "
            f"the owner of the database or as a superuser. {end}"
        )
    return translate(error, end)


def check_schema_name(schema: Any) -> None:
    """Refuse what cannot be the name of a schema of ours.

    Raises:
        ValidationError: the text says why.
    """
    if not isinstance(schema, str):
        raise ValidationError(f"schema must be text, not {type(schema).__name__}")
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


def check_conninfo(conninfo: Any) -> None:
    """Refuse what is no connection string, without showing it: it may hold a password.

    Raises:
        ValidationError: the text says what it should be.
    """
    if isinstance(conninfo, str) and conninfo.startswith("embedded:"):
        raise ValidationError(
            "an 'embedded:' address cannot be installed in from outside: "
            "messagedb.embedded.start() and a client with that address install the schema "
            "themselves"
        )
    _conninfo.check_conninfo(conninfo)


def connect_arguments(conninfo: str) -> dict[str, Any]:
    """Arguments for connecting that the connection string does not have already."""
    arguments: dict[str, Any] = {"autocommit": True, "client_encoding": "UTF8"}
    if not conninfo_to_dict(conninfo).get("connect_timeout"):
        arguments["connect_timeout"] = CONNECT_SECONDS
    return arguments


def _refuse(facts: Facts, schema: str) -> None:
    where = f"database {facts.database!r}"
    end = "Nothing was installed."
    if facts.has_messages:
        raise IncompatibleServerError(
            f"schema {schema!r} in {where} has a table 'messages' but not the functions of Message "
            "DB: it is not known whose it is. Name another schema with schema=, or finish what "
            f"was begun there. {end}"
        )
    if facts.server_version < OLDEST_SERVER:
        raise IncompatibleServerError(
            f"the server is PostgreSQL {facts.server_version // 10000}, and the schema needs "
            f"{OLDEST_SERVER // 10000} or later: upgrade it. {end}"
        )
    if facts.in_recovery:
        raise IncompatibleServerError(
            "the server is a standby and takes no writes: connect to the primary "
            f"(target_session_attrs=primary). {end}"
        )
    if facts.read_only:
        raise IncompatibleServerError(
            f"transactions of role {facts.user!r} in {where} are read-only: set "
            f"default_transaction_read_only = off. {end}"
        )
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


def _text(name: str, schema: str) -> str:
    text = resources.files(_PACKAGE).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
    name_of_schema = quoted(schema)
    # The second form stands inside of a text literal.
    forms = {
        "@schema@": name_of_schema,
        "@schema_text@": name_of_schema.replace("'", "''"),
    }
    return _PLACEHOLDER.sub(lambda found: forms[found[0]], text)

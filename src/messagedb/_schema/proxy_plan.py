"""The proxying database before several nodes: its statements, and what they need. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from .._connection.conninfo import Address, describe_target
from .._connection.error_mapping import get_first_line, map_error
from .._errors import IncompatibleServerError, MessageDBError, ValidationError
from .install_plan import add_role, check_conninfo, check_not_standby
from .messagedb_schema import plan_messagedb_schema
from .sql_files import load_sql

if TYPE_CHECKING:
    from .inspection import DatabaseInfo

SCHEMA: Final = "message_store"
"""The schema of Message DB, in the proxying database and on each node."""

_OWN_FUNCTION: Final = re.compile(r"FUNCTION messagedb\.(\w+)\(")

CLUSTER: Final = "messagedb"
"""The name of the foreign server with the addresses of the nodes."""

MAX_NODES: Final = 256
"""The largest number of nodes: each has some of the slots."""

NOTHING: Final = "Nothing was changed."

MAP_LOCK: Final = "SELECT pg_advisory_xact_lock(1835295858, 2)"
"""Waits for the writes in flight, and holds others up until the end of the transaction."""

INSPECT_PROXY: Final = """
SELECT
    EXISTS (SELECT FROM pg_available_extensions WHERE name = 'plproxy'),
    EXISTS (SELECT FROM pg_extension WHERE extname = 'plproxy'),
    to_regclass('messagedb.proxy_map') IS NOT NULL,
    EXISTS (SELECT FROM pg_foreign_server WHERE srvname = 'messagedb'),
    EXISTS (SELECT FROM pg_user_mappings WHERE srvname = 'messagedb' AND usename = 'public')
"""
"""The query for a `ProxyFacts`. Reads catalogs only."""

SELECT_NODES: Final = "SELECT node, name, address FROM messagedb.proxy_nodes ORDER BY node"
SELECT_MAP: Final = "SELECT proxy, version FROM messagedb.proxy_map"
SELECT_SLOTS: Final = "SELECT node FROM messagedb.proxy_slots ORDER BY slot"
SELECT_CATEGORIES: Final = "SELECT category, node FROM messagedb.proxy_categories"
SELECT_MEMBER: Final = "SELECT proxy, node, name FROM messagedb.proxied_by"
LIST_CATEGORIES: Final = "SELECT * FROM messagedb.list_placed_categories()"
INSERT_NODE: Final = "INSERT INTO messagedb.proxy_nodes (node, name, address) VALUES (%s, %s, %s)"
INSERT_SLOTS: Final = """
INSERT INTO messagedb.proxy_slots (slot, node)
SELECT n - 1, node FROM unnest(%s::int[]) WITH ORDINALITY AS given (node, n)
ON CONFLICT (slot) DO UPDATE SET node = excluded.node WHERE proxy_slots.node <> excluded.node
"""
INSERT_CATEGORIES: Final = """
INSERT INTO messagedb.proxy_categories (category, node)
SELECT * FROM unnest(%s::text[], %s::int[]) ON CONFLICT DO NOTHING
"""
INSERT_MAP: Final = "INSERT INTO messagedb.proxy_map DEFAULT VALUES"
RAISE_VERSION: Final = "UPDATE messagedb.proxy_map SET version = version + 1"
INSERT_MEMBER: Final = """
INSERT INTO messagedb.proxied_by (proxy, node, name, map_version) VALUES (%s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
UPDATE_MEMBER: Final = "UPDATE messagedb.proxied_by SET node = %s WHERE proxy = %s AND name = %s"
NOTE_VERSION: Final = "SELECT messagedb.proxy_note_version(version) FROM messagedb.proxy_map"
TRY_NODE: Final = "SELECT FROM messagedb.proxy_node_facts(%s)"
LOCK_SELF: Final = "SELECT pg_advisory_lock(%s::bigint)"
SELECT_LOCKS: Final = """
SELECT (l.classid::bigint << 32) | l.objid::bigint
FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objsubid = 1
"""
"""The keys of the advisory locks in this database."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}").fullmatch
_NOT_SHARED: Final = frozenset(
    (
        *("user", "password", "passfile", "application_name", "options"),
        # They concern the one connection from here, and the libpq of the proxying server may be
        # older than they are: that of PostgreSQL 15 refuses an address with one of these.
        *("sslnegotiation", "sslcertmode", "load_balance_hosts", "gssdelegation", "servicefile"),
        *("sslkeylogfile", "client_encoding", "fallback_application_name", "replication"),
    )
)
_CREATE: Final = re.compile(r"^CREATE (?=FUNCTION)", re.M)
_CREATE_TYPE: Final = re.compile(r"^CREATE TYPE .*?;$", re.M | re.S)

# The functions of a genuine Message DB call each other by bare names.
_NODE_OPTIONS: Final = (
    "-c search_path=message_store,public -c message_store.sql_condition=on "
    r"-c default_transaction_isolation=read\ committed"
)


class ProxyFacts(msgspec.Struct, frozen=True):
    """The facts about a database that is to pass calls on, as returned by `INSPECT_PROXY`."""

    is_available: bool
    has_extension: bool
    has_map: bool
    has_server: bool
    has_login: bool


class ProxyNode(msgspec.Struct, frozen=True):
    """A node: its number, which PL/Proxy uses, its name, and its address without a password."""

    number: int
    name: str
    address: str


def check_node_name(name: Any) -> str:
    """Refuse an invalid name of a node.

    Raises:
        ValidationError: it describes the form.
    """
    if not isinstance(name, str) or not _NAME(name):
        raise ValidationError(
            "the name of a node has 1 to 63 letters (a to z), digits, '.', '_' and '-', and begins "
            f"with a letter or a digit: not {name!r}. Nothing was sent."
        )
    return name


def check_nodes(nodes: Any) -> dict[str, Address]:
    """Return the nodes by their names, with addresses that are not shown.

    Raises:
        ValidationError: there is none or too many, or a name or an address is invalid.
    """
    given = cast("Mapping[object, object]", nodes)
    if not isinstance(nodes, Mapping) or not 1 <= len(given) <= MAX_NODES:
        raise ValidationError(
            f"nodes must be a mapping of 1 to {MAX_NODES} names to connection strings. Nothing was "
            "sent."
        )
    return {check_node_name(name): check_conninfo(address) for name, address in given.items()}


def check_login(user: Any, password: Any) -> None:
    """Refuse an invalid login of the proxying server on the nodes.

    Raises:
        ValidationError: it does not show the password.
    """
    if not isinstance(user, str) or not user or "\0" in user:
        raise ValidationError("user must be the name of a role. Nothing was sent.")
    if password is not None and (not isinstance(password, str) or "\0" in password):
        raise ValidationError("password must be a str without NUL, or None. Nothing was sent.")


def build_address(conninfo: str) -> str:
    """Return the address by which the proxying server reaches a node: no user and no password.

    The catalog with it can be read by every role. Options that concern the client alone are left
    out; one that makes the connection safer stays, though an older libpq refuses it.
    """
    parts = {
        name: str(value)
        for name, value in conninfo_to_dict(conninfo).items()
        if name not in _NOT_SHARED and value not in (None, "")
    }
    return make_conninfo(
        **{"connect_timeout": "5", **parts},
        application_name="messagedb proxy",
        options=_NODE_OPTIONS,
    )


def plan_proxy(
    facts: DatabaseInfo,
    proxy: ProxyFacts,
    nodes: Sequence[ProxyNode],
    user: str,
    password: str | None,
) -> list[str]:
    """Return the statements that make a database pass calls on, or bring one to this version.

    The map itself is not in them. A login on the nodes that is there stays without a password.

    Raises:
        IncompatibleServerError: it cannot be made there; the error names the fix.
    """
    where = f"database {facts.database!r}"
    if facts.has_messages:
        raise IncompatibleServerError(
            f"{where} has messages itself: a database that passes calls on must have none. Name "
            "this one as a node, and give another, empty database of the same or another server to "
            f"pass the calls on. {NOTHING}"
        )
    if facts.functions and not proxy.has_map:
        raise IncompatibleServerError(
            f"schema {SCHEMA!r} in {where} has functions, which messagedb did not make. Give an "
            f"empty database. {NOTHING}"
        )
    check_not_standby(facts, NOTHING)
    if not proxy.is_available and not proxy.has_extension:
        raise IncompatibleServerError(
            f"the server of {where} has no PL/Proxy. Install it there (Debian: apt-get install "
            f"postgresql-{facts.server_version // 10000}-plproxy). {NOTHING}"
        )
    texts = [] if proxy.has_extension else ["CREATE EXTENSION plproxy"]
    if not proxy.has_server:
        places = "".join(f", p{each.number} {_literal(each.address)}" for each in nodes)
        texts.append(
            f"CREATE SERVER {CLUSTER} FOREIGN DATA WRAPPER plproxy "
            f"OPTIONS (modular_mapping '1'{places})"
        )
    if password is not None or not proxy.has_login:
        texts += _plan_login(user, password)
    if not facts.schema_exists:
        texts.append(load_sql("schema", SCHEMA))
    if not proxy.has_map:
        texts.append(_CREATE_TYPE.findall(load_sql("messages", SCHEMA))[0])
    texts.append(_CREATE.sub("CREATE OR REPLACE ", load_sql("stream_names", SCHEMA)))
    texts += [load_sql("proxy", SCHEMA), load_sql("proxy_moves", SCHEMA)]
    return add_role(facts, [*plan_messagedb_schema(facts), *texts])


def _plan_login(user: str, password: str | None) -> list[str]:
    secret = "" if password is None else f", password {_literal(password)}"
    return [
        f"DROP USER MAPPING IF EXISTS FOR public SERVER {CLUSTER}",
        f"CREATE USER MAPPING FOR public SERVER {CLUSTER} OPTIONS (user {_literal(user)}{secret})",
    ]


def build_add_place(node: ProxyNode) -> str:
    """Return the statement that adds a node to the addresses."""
    return f"ALTER SERVER {CLUSTER} OPTIONS (ADD p{node.number} {_literal(node.address)})"


def list_proxy_functions() -> set[str]:
    """Return the names of the functions in schema ``messagedb`` of a proxying database."""
    texts = (load_sql("proxy", SCHEMA), load_sql("proxy_moves", SCHEMA))
    return {name for text in texts for name in _OWN_FUNCTION.findall(text)}


def check_same_nodes(found: Sequence[ProxyNode], given: Sequence[ProxyNode]) -> None:
    """Refuse other nodes than those that the map has.

    Raises:
        IncompatibleServerError: they differ. Nothing was changed.
    """
    if list(found) != list(given):
        names = ", ".join(each.name for each in found)
        raise IncompatibleServerError(
            f"this database already passes calls on, to other nodes or addresses: {names}. "
            f"Add a node with add_proxy_node (messagedb proxy add-node). {NOTHING}"
        )


def check_member(row: tuple[Any, ...] | None, proxy: Any, name: str, conninfo: str) -> None:
    """Refuse a node of another proxying database, or one that is known by another name.

    Raises:
        IncompatibleServerError: it is one. Nothing was changed.
    """
    if row is None or (str(row[0]), row[2]) == (str(proxy), name):
        return
    why = (
        f"is node {row[2]!r} of this proxying database already"
        if str(row[0]) == str(proxy)
        else f"belongs to another proxying database, as node {row[2]!r}"
    )
    raise IncompatibleServerError(
        f"{describe_target(conninfo)}, given as node {name!r}, {why}. {NOTHING} Two proxying "
        "databases would have two maps. If the other one is gone for good: DELETE FROM "
        "messagedb.proxied_by on the node."
    )


def check_distinct(name: str, locks: Iterable[int], owners: Mapping[int, str]) -> None:
    """Refuse a node that is the same database as another one, by the locks that it shows.

    Args:
        name: the node.
        locks: the keys of the locks that are held in its database.
        owners: the node whose session holds a key; '' for the proxying database.

    Raises:
        IncompatibleServerError: it is. Nothing was changed.
    """
    for key in locks:
        if (owner := owners.get(key)) is not None:
            other = f"node {owner!r}" if owner else "the proxying database itself"
            raise IncompatibleServerError(
                f"node {name!r} is the same database as {other}: give another one. {NOTHING}"
            )


def no_map_error(facts: DatabaseInfo) -> IncompatibleServerError:
    """Return the error for a database that does not pass calls on."""
    return IncompatibleServerError(
        f"database {facts.database!r} does not pass calls on to nodes: make it do so with "
        f"messagedb.schema.install_proxy (messagedb proxy init). {NOTHING}"
    )


def proxy_error(error: psycopg.Error, lost: bool) -> MessageDBError:
    """Return our error for one from these steps; *lost*: whether it ended the connection."""
    if lost:
        return map_error(
            error,
            "The change of the proxying database is one transaction: it is complete or not made. "
            "Repeat the call.",
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return IncompatibleServerError(
            f"the role may not make this database pass calls on ({get_first_line(error)}): only a "
            f"superuser may create the extension plproxy. {NOTHING}"
        )
    return map_error(error, NOTHING)


def _literal(text: str) -> str:
    """Return a string as SQL; of libpq's own quoting it keeps the backslashes."""
    quoted = text.replace("'", "''")
    if "\\" in quoted:
        return "E'" + quoted.replace("\\", "\\\\") + "'"
    return f"'{quoted}'"

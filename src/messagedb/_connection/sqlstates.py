"""The meaning of the server's SQLSTATEs for a store, and the cause of those with several.

The strings are parts of error texts: ``error_mapping`` chooses our class of an error by the map
that its SQLSTATE is in, and adds the server's message and the state of the database.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import psycopg

VALUE_STATES: Final = {
    "22003": "a number is out of the server's range",
    "22021": "the string has a byte sequence that the database's encoding does not have",
    "22P02": "a value has the wrong form",
    "22P05": "the string has a character that PostgreSQL cannot store",
    "2201W": "a LIMIT must not be negative",
    "23502": "a value is missing",
    "54001": "the data is nested too deeply for the server (or a trigger there recurses without "
    "end)",
}
"""Refused because of the content of a value."""

RETRY_STATES: Final = {
    "40001": "the server could not serialize this with other transactions, or a standby with the "
    "WAL that it replays",
    "40P01": "the server broke a deadlock with another transaction",
    "55P03": "a lock did not become available within lock_timeout",
}
"""Rolled back because of concurrency."""

UNAVAILABLE_STATES: Final = {
    "25006": "this server accepts no writes now: it is a standby, it was demoted, or the server, "
    "the database or the role is read-only (default_transaction_read_only). Connect to the primary "
    "(target_session_attrs=read-write), or wait until it is one",
    "25P03": "the server ended the session: it was idle in a transaction for too long",
    "53000": "the server lacks a resource",
    "53100": "the server's disk is full",
    "53200": "the server is out of memory; if of shared memory, raise max_locks_per_transaction",
    "53300": "no connection is available: lower max_size, or raise the limit of the server "
    "(max_connections), the database, the role or the pooler",
    "53400": "a limit of the server's configuration is reached",
    "55006": "an administrator's command has exclusive use: a category that is being moved to "
    "another node accepts no writes until the move has ended",
    "57000": "an administrator intervened",
    "57014": "the server cancelled the statement (statement_timeout, or another session)",
    "57P01": "the server is being shut down, or an administrator ended the session",
    "57P02": "a crash of another server process ended the session",
    "57P03": "the server is starting up or shutting down",
    "57P04": "the database was dropped",
    "57P05": "the server ended the session: it was idle for too long",
    "58000": "the server's operating system reported an error",
    "58030": "the server could not read or write a file",
}
"""Not executed, although the call is valid: it may succeed later."""

SETUP_STATES: Final = {
    "3F000": "the schema of Message DB does not exist. Install it with messagedb.schema.install(), "
    "or name the schema with schema=",
    "42501": "the role lacks a privilege. Connect as message_store, or GRANT message_store TO it",
    "42883": "a function is missing or not in the search_path. If it is one of Message DB's: "
    "install that with messagedb.schema.install(), or name its schema with schema=",
    "42P01": "a table is missing or not in the search_path. If it is one of Message DB's: install "
    "that with messagedb.schema.install(), or name its schema with schema=",
}
"""The database is not set up for the call."""

PROXY_FUNCTIONS: Final = "messagedb.proxy_"
"""How the names begin of what a database has that passes calls on to nodes."""

OLD_PROXY: Final = (
    "the proxying database is older than this version of messagedb. Bring it up to date with "
    "messagedb.schema.install_proxy(), or messagedb proxy init, and the same nodes"
)
"""It lacks a function or a table whose name begins so."""

# After these the outcome of the current call is unknown: the server has ended the session, or
# (class 08) a database that passes calls to another one has lost the connection to it.
SESSION_ENDED: Final = frozenset(
    {"25P03", "25P04", "57P01", "57P02", "57P03", "57P04", "57P05"}
    | {"08000", "08003", "08006", "08007"}
)

Limit = Literal["wraparound", "index", "size"]

# The files of PostgreSQL's source that raise an error of 54000; its message may be in any
# language.
_FILES: Final[dict[str, Limit]] = {
    "varsup.c": "wraparound",
    "multixact.c": "wraparound",
    "nbtutils.c": "index",
    "indextuple.c": "index",
}


def find_limit(error: psycopg.Error, text: str) -> Limit:
    """Return the limit of the server that an error of SQLSTATE 54000 is about."""
    file = error.diag.source_file or ""
    if (limit := _FILES.get(file.replace("\\", "/").rpartition("/")[2])) is not None:
        return limit
    # A database that passes calls on reports another one's message with its own source file.
    if "wraparound" in text or "MultiXact" in text or "multixact" in text:
        return "wraparound"
    return "index" if "index row" in text else "size"


def is_allocation_error(state: str, text: str) -> bool:
    """Return True if a statement needed more memory in one piece than PostgreSQL allocates, 1 GB.

    PostgreSQL does not translate this text.
    """
    return state == "XX000" and "invalid memory alloc request size" in text


def is_row_security_error(error: psycopg.Error, text: str) -> bool:
    """Return True if an error of SQLSTATE 42501 is about a policy, not a privilege."""
    return error.diag.source_function == "ExecWithCheckOptions" or "row-level security" in text


# PL/Proxy's own error about its connection to a node, with the name of the node's database.
_NODE_FAILURE: Final = re.compile(
    r"PL/Proxy function .+?\(\d+\): (?:\[[^\]]*\] (?!REMOTE )|(?=query timeout|connect timeout))"
)
_NOT_CONNECTED: Final = re.compile(r"PQconnect(?:Poll|Start)|connect timeout").match


def is_session_ended(error: psycopg.Error) -> bool:
    """Return True if the server's error means that the session ended, or the call may be lost."""
    severity = error.diag.severity_nonlocalized or error.diag.severity
    return (
        severity in ("FATAL", "PANIC")
        or error.sqlstate in SESSION_ENDED
        or (is_node_failure(error) and not is_node_unreachable(error))
    )


def is_node_failure(error: psycopg.Error) -> bool:
    """Return True if a proxying database could not pass a call on, or got no answer to it."""
    return error.sqlstate == "XX000" and _NODE_FAILURE.match(_get_primary(error)) is not None


def is_call_abandoned(error: psycopg.Error) -> bool:
    """Return True if a proxying database ended a call that a node may still have executed.

    A node's own refusal is marked as remote. Before a call is passed on, a write waits for a lock
    of the map, in a function that the error then names.
    """
    return (
        error.sqlstate == "57014"
        and "REMOTE " not in _get_primary(error)
        and "proxy_node_to_write" not in (error.diag.context or "")
    )


def is_remote(error: psycopg.Error) -> bool:
    """Return True if PL/Proxy passed on an error of a node."""
    return "REMOTE " in _get_primary(error)


def is_node_unreachable(error: psycopg.Error) -> bool:
    """Return True if a proxying database did not reach a node: it has sent it nothing."""
    text = _get_primary(error)
    match = _NODE_FAILURE.match(text) if error.sqlstate == "XX000" else None
    return match is not None and _NOT_CONNECTED(text[match.end() :]) is not None


def _get_primary(error: psycopg.Error) -> str:
    return error.diag.message_primary or ""


def is_connection_state(state: str) -> bool:
    """Return True if a SQLSTATE means a failed connection, not a protocol violation."""
    return state.startswith("08") and state != "08P01"


_CONSTRAINT: Final = re.compile(r'constraint "([^"]+)"')


def find_constraint(error: psycopg.Error) -> str | None:
    """Return the constraint of an error; for a proxied call only the message contains it."""
    if error.diag.constraint_name is not None:
        return error.diag.constraint_name
    match = _CONSTRAINT.search(error.diag.message_primary or "")
    return match and match[1]

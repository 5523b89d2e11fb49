"""The one mapping from psycopg's errors to ours: by SQLSTATE, for P0001 by the text."""

from __future__ import annotations

import re
from typing import Final

import psycopg
import psycopg_pool

from .errors import (
    IncompatibleServerError,
    MessageDBError,
    PoolTimeoutError,
    RetryableError,
    ServerError,
    StoreUnavailableError,
    TransactionTimeoutError,
    ValidationError,
    WrongExpectedVersionError,
)

NOTHING_WRITTEN: Final = "Nothing was written."
NOTHING_READ: Final = "Nothing was changed."
TRANSACTION_ABORTED: Final = (
    "Your transaction is aborted: roll it back (to a savepoint, or all of it)."
)

# Searched anywhere in the message: a proxying database puts its own words before the server's.
_WRONG_VERSION: Final = re.compile(
    r"Wrong expected version: (-?\d+) \(Stream: (.*), Stream Version: (-?\d+)\)", re.S
)
_REFUSALS: Final = (
    "Must be a category",
    "Must be a stream name",
    "Correlation must be a category",
    "Consumer group",
)
_CONDITION_OFF: Final = "Retrieval with SQL condition is not activated"

_VALUE_STATES: Final = {
    "22003": "a number is out of the server's range",
    "22021": "the text has a byte sequence that the database's encoding does not have",
    "22P02": "a value has the wrong form",
    "22P05": "the text has a character that PostgreSQL cannot store",
    "2201W": "batch_size must not be negative on this server (before 1.2.2 not even -1)",
    "23502": "a value is missing",
    "54000": "a value is longer than an index of Message DB takes: shorten the stream name or "
    "the correlation stream name (about 2,600 bytes together)",
    "54001": "the data is nested too deeply for the server",
}
_RETRY_STATES: Final = {
    "40001": "the server could not serialize this with other transactions",
    "40P01": "the server broke a deadlock with another transaction",
    "55P03": "a lock was not free within lock_timeout",
}
_UNAVAILABLE_STATES: Final = {
    "25P03": "the server ended the session: it was idle in a transaction for too long",
    "53100": "the server's disk is full",
    "53200": "the server is out of memory",
    "53300": "the server has no connection left: lower max_size, or raise max_connections",
    "57014": "the server cancelled the statement (statement_timeout, or another session)",
    "57P01": "the server is being shut down, or an administrator ended the session",
    "57P02": "a crash of another server process ended the session",
    "57P03": "the server is starting up or shutting down",
    "57P05": "the server ended the session: it was idle for too long",
}
_SET_UP_STATES: Final = {
    "25006": "this server does not take writes: it is a standby, or the database, the role or "
    "the transaction is read-only. "
    "Connect to the primary (target_session_attrs=read-write)",
    "3F000": "the schema of Message DB is not there. Install it with messagedb.schema.install(), "
    "or name the schema with schema=",
    "42501": "the role lacks a privilege. Connect as message_store, or GRANT message_store TO it",
    "42883": "a function of Message DB is missing or not in the search_path. Install Message DB "
    "with messagedb.schema.install(), or name its schema with schema=",
    "42P01": "a table of Message DB is missing or not in the search_path. Install Message DB with "
    "messagedb.schema.install(), or name its schema with schema=",
}

# The states in which the server ends the session: what was being done may or may not be done.
_SESSION_ENDED: Final = frozenset({"25P03", "25P04", "57P01", "57P02", "57P03", "57P05"})


class CommandTimeout(psycopg.OperationalError):
    """No answer in time: raised by our connection classes, which close themselves first."""


def is_lost(error: psycopg.Error, connection_closed: bool) -> bool:
    """Whether the connection died under the call, so that the error does not tell its outcome."""
    if isinstance(error, psycopg_pool.PoolTimeout | psycopg_pool.PoolClosed):
        return False
    return connection_closed or error.sqlstate in _SESSION_ENDED


def translate(
    error: psycopg.Error, consequence: str, *, has_condition: bool = False
) -> MessageDBError:
    """Give our error for psycopg's, to be raised ``from`` that.

    Args:
        error: what psycopg raised.
        consequence: what is now true in the database.
        has_condition: whether the statement held SQL of the user's, which may be what is wrong.
    """
    if isinstance(error, psycopg_pool.PoolTimeout):
        return PoolTimeoutError(f"no connection became free in time ({error}). Nothing was sent.")
    state = error.sqlstate
    text = first_line(error)
    if has_condition and state is not None and _is_of_sql(state):
        return ValidationError(
            f"the server refused the read, perhaps its condition: {text} (SQLSTATE {state}). "
            f"{consequence}"
        )
    if state == "P0001":
        return _raised_by_message_db(text, consequence)
    if state == "54000" and "index row" not in text:
        return ValidationError(
            f"data or metadata is larger than PostgreSQL takes, 255 MB ({text}). {consequence}"
        )
    if state in _VALUE_STATES:
        return ValidationError(
            f"the server refused a value: {_VALUE_STATES[state]} ({text}). {consequence}"
        )
    if state in _RETRY_STATES:
        return RetryableError(
            f"{_RETRY_STATES[state]} ({text}). {consequence} Run it again.", state
        )
    if state in _SET_UP_STATES:
        return IncompatibleServerError(f"{_SET_UP_STATES[state]} ({text}). {consequence}")
    if state == "25P04":
        return TransactionTimeoutError(
            f"the transaction took longer than transaction_timeout ({text}). It is rolled back. "
            "Run it again, with less to do or more time."
        )
    if state in _UNAVAILABLE_STATES:
        return StoreUnavailableError(f"{_UNAVAILABLE_STATES[state]} ({text}). {consequence}")
    if state is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreUnavailableError(
            f"the connection to the store was lost or refused ({text}). {consequence}"
        )
    return ServerError(
        f"the server refused the call: {text} (SQLSTATE {state}). {consequence}", state
    )


def _is_of_sql(state: str) -> bool:
    """Whether a SQLSTATE is of the classes for wrong data and wrong SQL, but not of privileges."""
    return state.startswith(("22", "42")) and state != "42501"


def _raised_by_message_db(text: str, consequence: str) -> MessageDBError:
    if found := _WRONG_VERSION.search(text):
        return WrongExpectedVersionError(found[2], int(found[1]), int(found[3]))
    if _CONDITION_OFF in text:
        return IncompatibleServerError(
            f"the server does not let this session read with an SQL condition ({text}). "
            f"{consequence}"
        )
    if any(words in text for words in _REFUSALS):
        return ValidationError(f"the server refused the call: {text}. {consequence}")
    return ServerError(
        f"the server refused the call: {text} (SQLSTATE P0001). {consequence}", "P0001"
    )


def cannot_connect(error: psycopg.Error | UnicodeError, where: str) -> StoreUnavailableError:
    """The error for a connection not made. *where* names the server, without a password."""
    if isinstance(error, UnicodeError):
        return StoreUnavailableError(
            f"cannot connect to {where}: the host's name is none that can be looked up ({error}). "
            "Check it. Nothing was sent."
        )
    text = first_line(error)
    advice = "Check that the server runs, and its host and port."
    if "password" in text or "authentication" in text or "pg_hba" in text:
        advice = "Check user and password, and the server's pg_hba.conf."
    elif "does not exist" in text:
        advice = "Check the names of database and role in the connection string."
    elif "timeout expired" in text:
        advice = "Nothing answered in time: check host and port, and firewalls in between."
    return StoreUnavailableError(f"cannot connect to {where}: {text}. {advice} Nothing was sent.")


def first_line(error: psycopg.Error) -> str:
    """The server's primary message, or the first line of libpq's."""
    primary = error.diag.message_primary
    if primary is not None:
        return primary
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__

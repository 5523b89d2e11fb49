"""The one mapping from psycopg's errors to ours: by SQLSTATE, for P0001 by the text."""

from __future__ import annotations

import re
from typing import Final

import psycopg
import psycopg_pool

from .._errors import (
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
from . import sqlstates
from .connect_errors import refusal
from .position_sequence import is_taken, taken

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


class CommandTimeout(psycopg.OperationalError):
    """No answer in time: the connection is closed, or kept apart while a commit may go on."""


class NotReplicated(psycopg.OperationalError):
    """Committed on the primary, where somebody has ended the wait for a synchronous standby."""


def is_lost(error: psycopg.Error, connection_closed: bool) -> bool:
    """Whether the answer of the call was lost, so that the error does not tell its outcome."""
    if isinstance(error, CommandTimeout | NotReplicated):
        return True
    if isinstance(error, psycopg_pool.PoolTimeout | psycopg_pool.PoolClosed):
        return False
    return connection_closed or sqlstates.ends_session(error)


def is_others_fault(error: psycopg.Error) -> bool:
    """Whether the server rolled back because of others, so that the same may pass a moment later.

    What waited until a lock_timeout of the user's is not sent again: it was to wait no longer.
    """
    return error.sqlstate in ("40001", "40P01")


def translate(
    error: psycopg.Error,
    consequence: str,
    *,
    has_condition: bool = False,
    is_read_only_by_choice: bool = False,
) -> MessageDBError:
    """Give our error for psycopg's, to be raised ``from`` that.

    Args:
        error: what psycopg raised.
        consequence: what is now true in the database.
        has_condition: whether the statement held SQL of the user's, which may be what is wrong.
        is_read_only_by_choice: whether the transaction is one that the user began as read-only.
    """
    if isinstance(error, psycopg_pool.PoolTimeout):
        return PoolTimeoutError(f"no connection became free in time ({error}). Nothing was sent.")
    state = error.sqlstate
    text = first_line(error)
    if state is None:
        return _of_psycopg(error, text, consequence)
    if has_condition and _is_of_sql(state):
        return ValidationError(
            f"the server refused the read, perhaps its condition: {text} (SQLSTATE {state}). "
            f"{consequence}"
        )
    if state == "P0001":
        return _raised_by_message_db(text, consequence)
    if is_taken(error):
        return taken(error, consequence)
    if state == "54000":
        return _limit_reached(error, text, consequence)
    if state == "25006" and is_read_only_by_choice:
        return ValidationError(
            f"the transaction was begun as read-only, and takes no writes ({text}). {consequence}"
        )
    if state == "42501" and sqlstates.is_of_row_security(error, text):
        return IncompatibleServerError(
            f"a row security policy of the table refuses the row ({text}). {consequence} Change "
            "the policy, or connect as a role that it lets write."
        )
    if state in sqlstates.VALUE_STATES:
        return ValidationError(
            f"the server refused a value: {sqlstates.VALUE_STATES[state]} ({text}). {consequence}"
        )
    if state in sqlstates.RETRY_STATES:
        return RetryableError(
            f"{sqlstates.RETRY_STATES[state]} ({text}). {consequence} Run it again.", state
        )
    if state in sqlstates.SET_UP_STATES:
        return IncompatibleServerError(f"{sqlstates.SET_UP_STATES[state]} ({text}). {consequence}")
    if state == "25P04":
        return TransactionTimeoutError(
            f"the transaction took longer than transaction_timeout ({text}). It is rolled back. "
            "Run it again, with less to do or more time."
        )
    if state in sqlstates.UNAVAILABLE_STATES:
        return StoreUnavailableError(
            f"{sqlstates.UNAVAILABLE_STATES[state]} ({text}). {consequence}"
        )
    if sqlstates.is_of_connection(state) or sqlstates.ends_session(error):
        return StoreUnavailableError(
            f"the connection to the store was lost or refused ({text}, SQLSTATE {state}). "
            f"{consequence}"
        )
    return ServerError(
        f"the server refused the call: {text} (SQLSTATE {state}). {consequence}", state
    )


def _of_psycopg(error: psycopg.Error, text: str, consequence: str) -> MessageDBError:
    """The error for one that is not the server's."""
    if isinstance(error, psycopg.OperationalError) and not isinstance(
        error, psycopg.errors.PipelineAborted
    ):
        return StoreUnavailableError(
            f"the connection to the store was lost or refused ({text}). {consequence}"
        )
    if isinstance(error, psycopg.InterfaceError) and "oid loader" in text:
        return IncompatibleServerError(
            f"a column has a type that it has in no Message DB, and cannot be read ({text}). "
            f"{consequence} Compare the table and the functions with those of Message DB."
        )
    return ServerError(f"psycopg could not do the call: {text}. {consequence}")


def _limit_reached(error: psycopg.Error, text: str, consequence: str) -> MessageDBError:
    """The error for a limit of the server's that is reached: SQLSTATE 54000."""
    limit = sqlstates.limit_of(error, text)
    if limit == "wraparound":
        return StoreUnavailableError(
            "the server takes no writes until old transaction ids are free for use again "
            f"({text}). {consequence} An administrator has to end transactions, prepared "
            "transactions and replication slots that are old, and to VACUUM the database."
        )
    if limit == "index":
        return ValidationError(
            "the server refused a value: it is longer than an index takes. Of Message DB's: "
            "shorten the stream name or the correlation stream name (about 2,600 bytes together) "
            f"({text}). {consequence}"
        )
    return ValidationError(
        f"data or metadata is larger than PostgreSQL takes, 255 MB ({text}). {consequence}"
    )


def _is_of_sql(state: str) -> bool:
    """Whether a SQLSTATE may be for wrong data or wrong SQL: of two classes, or too deep."""
    return state.startswith(("22", "42", "54001")) and state != "42501"


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
    """The error for a connection not made. *where* names the server, without a password.

    It does not come back where a person has to change something, such as a wrong password.
    """
    if isinstance(error, UnicodeError):
        unavailable = StoreUnavailableError(
            f"cannot connect to {where}: the host's name is none that can be looked up ({error}). "
            "Check it. Nothing was sent."
        )
        unavailable.is_transient = False
        return unavailable
    found = refusal(error)
    unavailable = StoreUnavailableError(
        f"cannot connect to {where}: {found.said}. {found.advice} Nothing was sent."
    )
    unavailable.is_transient = found.is_transient
    return unavailable


def first_line(error: psycopg.Error) -> str:
    """The server's primary message, or the first line of libpq's."""
    primary = error.diag.message_primary
    if primary is not None:
        return primary
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__

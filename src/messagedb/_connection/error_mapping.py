"""The one mapping from psycopg's errors to ours: by SQLSTATE, for P0001 by the message."""

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
from .connect_errors import parse_refusal
from .position_sequence import is_position_taken, position_taken_error

NOTHING_WRITTEN: Final = "Nothing was written."
NOTHING_CHANGED: Final = "Nothing was changed."
TRANSACTION_ABORTED: Final = (
    "Your transaction is aborted: roll it back (to a savepoint, or all of it)."
)

# Searched anywhere in the message: a proxying database adds text before the server's.
_WRONG_VERSION: Final = re.compile(
    r"Wrong expected version: (-?\d+) \(Stream: (.*), Stream Version: (-?\d+)\)", re.S
)
_REFUSALS: Final = (
    "Must be a category",
    "Must be a stream name",
    "Correlation must be a category",
    "Consumer group",
)
_MOVED: Final = "was moved to another node, and the map"
_CONDITION_OFF: Final = "Retrieval with SQL condition is not activated"


class CommandTimeout(psycopg.OperationalError):
    """No answer within the timeout: the connection is closed, or set aside during a commit."""


class NodeError(psycopg.OperationalError):
    """A failure of a node, as the proxying database reported it, with the name of the node.

    Attributes:
        is_lost: whether the node may have executed the call.
    """

    def __init__(self, name: str, text: str, is_lost: bool) -> None:
        super().__init__(
            f"node {name!r} of the store is unavailable, and only its categories: {text}"
        )
        self.is_lost = is_lost


def is_node_error(error: psycopg.Error) -> bool:
    """Return True if a proxied call failed because of its node, not because of the call."""
    return (
        sqlstates.is_node_failure(error)
        or sqlstates.is_call_abandoned(error)
        or (sqlstates.is_remote(error) and error.sqlstate in sqlstates.SESSION_ENDED)
    )


def build_node_error(error: psycopg.Error, name: str) -> NodeError:
    """Return the error of a node with its name; `is_node_error` is true of it."""
    text = " ".join(get_first_line(error).split())
    return NodeError(name, text, not sqlstates.is_node_unreachable(error))


class NotReplicated(psycopg.OperationalError):
    """A commit on the primary whose wait for a synchronous standby was ended by another session."""


def is_connection_lost(error: psycopg.Error, connection_closed: bool) -> bool:
    """Return True if the call's answer was lost, so that the error does not show its outcome."""
    if isinstance(error, CommandTimeout | NotReplicated):
        return True
    if isinstance(error, NodeError):
        return error.is_lost
    if isinstance(error, psycopg_pool.PoolTimeout | psycopg_pool.PoolClosed):
        return False
    return connection_closed or sqlstates.is_session_ended(error)


def is_caused_by_others(error: psycopg.Error) -> bool:
    """Return True if the server rolled back because of concurrency, so that a retry may succeed.

    A call that reached the user's lock_timeout is not retried: it was to wait no longer.
    """
    return error.sqlstate in ("40001", "40P01")


def map_error(
    error: psycopg.Error,
    state_note: str,
    *,
    has_condition: bool = False,
    is_read_only_by_choice: bool = False,
    is_write: bool = False,
) -> MessageDBError:
    """Return our error for psycopg's, to be raised ``from`` that.

    Args:
        error: psycopg's error.
        state_note: the state of the database now.
        has_condition: whether the statement contained SQL of the user, which may be invalid.
        is_read_only_by_choice: whether the user started the transaction as read-only.
        is_write: whether the statement contained a message.
    """
    if isinstance(error, psycopg_pool.PoolTimeout):
        return PoolTimeoutError(
            f"no connection became available within the timeout ({error}). Nothing was sent."
        )
    state = error.sqlstate
    text = get_first_line(error)
    if isinstance(error, NodeError):
        return StoreUnavailableError(f"{text}. {state_note}")
    if state is None:
        return _map_psycopg_error(error, text, state_note)
    if has_condition and _is_sql_error(state):
        return ValidationError(
            f"the server refused the read, perhaps its condition: {text} (SQLSTATE {state}). "
            f"{state_note}"
        )
    if state == "P0001":
        return _message_db_error(text, state_note)
    if is_position_taken(error):
        return position_taken_error(error, state_note)
    if state == "25006" and is_read_only_by_choice:
        return ValidationError(
            f"the transaction was started as read-only and accepts no writes ({text}). {state_note}"
        )
    if state == "42501" and sqlstates.is_row_security_error(error, text):
        return IncompatibleServerError(
            f"a row security policy of the table refuses the row ({text}). {state_note} Change "
            "the policy, or connect as a role that it allows to write."
        )
    if is_write and sqlstates.is_allocation_error(state, text):
        return ValidationError(
            "data or metadata has too many values: to store them as jsonb, the server would "
            f"allocate more than 1 GB in one piece ({text}). {state_note} Write several messages, "
            "or store the data elsewhere and write a reference to it."
        )
    known_error = _map_known_state(error, state, text, state_note)
    if known_error is not None:
        return known_error
    if sqlstates.is_node_failure(error):
        return StoreUnavailableError(
            "a node of the store is unavailable, and only its categories (messagedb proxy status"
            f" names it): {' '.join(text.split())}. {state_note}"
        )
    if sqlstates.is_connection_state(state) or sqlstates.is_session_ended(error):
        return StoreUnavailableError(
            f"the connection to the store was lost or refused ({text}, SQLSTATE {state}). "
            f"{state_note}"
        )
    return ServerError(
        f"the server refused the call: {text} (SQLSTATE {state}). {state_note}", state
    )


def _map_known_state(
    error: psycopg.Error, state: str, text: str, state_note: str
) -> MessageDBError | None:
    """Return our error for a SQLSTATE that has one meaning here; None for all others."""
    if state == "54000":
        return _limit_error(error, text, state_note)
    if state in sqlstates.VALUE_STATES:
        return ValidationError(
            f"the server refused a value: {sqlstates.VALUE_STATES[state]} ({text}). {state_note}"
        )
    if state in sqlstates.RETRY_STATES:
        return RetryableError(
            f"{sqlstates.RETRY_STATES[state]} ({text}). {state_note} Run it again.", state
        )
    if state in sqlstates.SETUP_STATES:
        is_old_proxy = state in ("42883", "42P01") and sqlstates.PROXY_FUNCTIONS in text
        fix = sqlstates.OLD_PROXY if is_old_proxy else sqlstates.SETUP_STATES[state]
        return IncompatibleServerError(f"{fix} ({text}). {state_note}")
    if state == "25P04":
        return TransactionTimeoutError(
            f"the transaction took longer than transaction_timeout ({text}). It is rolled back. "
            "Run it again with fewer statements or a longer timeout."
        )
    if state in sqlstates.UNAVAILABLE_STATES:
        return StoreUnavailableError(
            f"{sqlstates.UNAVAILABLE_STATES[state]} ({text}). {state_note}"
        )
    return None


def _map_psycopg_error(error: psycopg.Error, text: str, state_note: str) -> MessageDBError:
    """Return our error for one that psycopg raised itself."""
    if isinstance(error, psycopg.OperationalError) and not isinstance(
        error, psycopg.errors.PipelineAborted
    ):
        return StoreUnavailableError(
            f"the connection to the store was lost or refused ({text}). {state_note}"
        )
    if isinstance(error, psycopg.InterfaceError) and "oid loader" in text:
        return IncompatibleServerError(
            f"a column has a type that Message DB does not use, and cannot be read ({text}). "
            f"{state_note} Compare the table and the functions with those of Message DB."
        )
    return ServerError(f"psycopg could not execute the call: {text}. {state_note}")


def _limit_error(error: psycopg.Error, text: str, state_note: str) -> MessageDBError:
    """Return the error for a limit of the server: SQLSTATE 54000."""
    limit = sqlstates.find_limit(error, text)
    if limit == "wraparound":
        return StoreUnavailableError(
            "the server accepts no writes until old transaction ids can be reused "
            f"({text}). {state_note} An administrator must end old transactions, prepared "
            "transactions and replication slots, and run VACUUM on the database."
        )
    if limit == "index":
        return ValidationError(
            "the server refused a value: it is too long for an index. For an index of Message DB, "
            "shorten the stream name or the correlation stream name (about 2,600 bytes together) "
            f"({text}). {state_note}"
        )
    return ValidationError(
        f"data or metadata is larger than PostgreSQL allows, 255 MB ({text}). {state_note}"
    )


def _is_sql_error(state: str) -> bool:
    """Return True if a SQLSTATE may mean invalid data or SQL: two classes, or nested too deeply."""
    return state.startswith(("22", "42", "54001")) and state != "42501"


def _message_db_error(text: str, state_note: str) -> MessageDBError:
    if match := _WRONG_VERSION.search(text):
        return WrongExpectedVersionError(match[2], int(match[1]), int(match[3]))
    if _CONDITION_OFF in text:
        return IncompatibleServerError(
            f"the server does not allow this session to read with an SQL condition ({text}). "
            f"{state_note}"
        )
    if _MOVED in text:
        return IncompatibleServerError(
            f"the proxying database does not know a move that has ended ({text}): it was perhaps"
            f" restored from an old backup. {state_note} Stop its clients: messagedb proxy check"
            " shows what its map lacks."
        )
    if any(words in text for words in _REFUSALS):
        return ValidationError(f"the server refused the call: {text}. {state_note}")
    return ServerError(
        f"the server refused the call: {text} (SQLSTATE P0001). {state_note}", "P0001"
    )


def connect_error(error: psycopg.Error | UnicodeError, where: str) -> StoreUnavailableError:
    """Return the error for a failed connection. *where* names the server, without a password.

    It is not transient if a change of configuration is needed, for example for a wrong password.
    """
    if isinstance(error, UnicodeError):
        unavailable = StoreUnavailableError(
            f"cannot connect to {where}: the host name cannot be resolved ({error}). "
            "Check it. Nothing was sent."
        )
        unavailable.is_transient = False
        return unavailable
    refusal = parse_refusal(error)
    unavailable = StoreUnavailableError(
        f"cannot connect to {where}: {refusal.text}. {refusal.advice} Nothing was sent."
    )
    unavailable.is_transient = refusal.is_transient
    return unavailable


def get_first_line(error: psycopg.Error) -> str:
    """Return the server's primary message, or the first line of libpq's."""
    primary = error.diag.message_primary
    if primary is not None:
        return primary
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__

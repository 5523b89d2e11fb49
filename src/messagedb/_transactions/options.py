"""What a transaction is begun with, and when it is run again: decisions only, no I/O."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg
from psycopg import IsolationLevel

from .._argument_checks import check_integer, check_seconds
from .._errors import (
    LostHistoryError,
    RetryableError,
    StoreUnavailableError,
    TransactionTimeoutError,
    ValidationError,
    WrongExpectedVersionError,
)
from .._operations import validation
from .._operations.category_locks import CategoryLock, in_safe_order
from .._operations.write_results import check_isolation
from .._sql.history import HISTORY_COLUMNS

if TYPE_CHECKING:
    from .._connection.settings import Settings

# How a transaction ended, in words for a text.
COMMITTED: Final = "committed"
ROLLED_BACK: Final = "rolled back"
UNKNOWN: Final = "of unknown outcome"

# What the server says of one that has not ended.
IN_PROGRESS: Final = "in progress"

TIME_LIMITS: Final = ("25P03", "25P04")
"""The states of the limits that a transaction is begun with, should they come before our own."""

FAILED_BEFORE: Final = (
    "a statement of the transaction has failed before, so that PostgreSQL takes no other one. "
    "Nothing of the transaction is stored or will be, but for a rollback to a savepoint. Let the "
    "error out of the block, and put what may fail into a savepoint()."
)

_FIT_FOR_WRITES: Final = (IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED)

# The first PostgreSQL with a limit for a transaction as a whole.
_HAS_TRANSACTION_TIMEOUT: Final = 170000


class TransactionOptions(msgspec.Struct, frozen=True):
    """What a transaction was asked to be. Its timeout is in seconds."""

    isolation: IsolationLevel
    read_only: bool
    timeout: float
    categories: tuple[str, ...]
    locks: tuple[CategoryLock, ...]
    is_fit_for_writes: bool


def sees_a_snapshot(isolation: IsolationLevel | None) -> bool:
    """Whether all reads of a transaction of a level see the store as it was at the first one."""
    return isolation in (IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE)


def transaction_options(
    isolation: Any, read_only: Any, timeout: Any, categories: Any
) -> TransactionOptions:
    """Check the arguments of a transaction.

    Raises:
        ValidationError: one of them is refused; the text names it. Nothing was sent.
    """
    if isolation is None:
        isolation = IsolationLevel.READ_COMMITTED
    if not isinstance(isolation, IsolationLevel):
        raise ValidationError(
            "isolation must be one of psycopg.IsolationLevel, or None for READ COMMITTED, not "
            f"{isolation!r}. Nothing was sent."
        )
    if read_only not in (True, False):
        raise ValidationError(
            f"read_only must be True or False, not {read_only!r}. Nothing was sent."
        )
    check_seconds("timeout", timeout)
    if isinstance(categories, str):
        raise ValidationError(
            f"categories must be an iterable of categories: give [{categories!r}]. Nothing was "
            "sent."
        )
    try:
        names = tuple(categories)
    except TypeError:
        raise ValidationError(
            f"categories must be an iterable of categories, not {type(categories).__name__}. "
            "Nothing was sent."
        ) from None
    for name in names:
        validation.check_category(name, "each of categories")
    is_fit = not read_only and isolation in _FIT_FOR_WRITES
    if names and not is_fit:
        kind = "read-only" if read_only else isolation.name.replace("_", " ")
        raise ValidationError(
            "categories take the locks for writes, which need READ COMMITTED and a transaction "
            f"that is not read-only; this one is to be {kind}. Nothing was sent."
        )
    return TransactionOptions(
        isolation, bool(read_only), timeout, names, in_safe_order(names), is_fit
    )


def check_fit_for_writes(options: TransactionOptions) -> None:
    """Refuse to write where it cannot be done.

    Raises:
        ValidationError: the transaction is read-only, or its snapshot may be older than the lock of
            the category. Nothing was sent.
    """
    if options.is_fit_for_writes:
        return
    if options.read_only:
        raise ValidationError(
            "the transaction was begun with read_only=True. Nothing was sent; it goes on."
        )
    check_isolation(options.isolation.name.replace("_", " ").lower())


def begin_text(
    options: TransactionOptions,
    settings: Settings,
    server_version: int,
    *,
    asks_history: bool = False,
) -> bytes:
    """The statements that begin a transaction, to be sent as one.

    The limits are for a client that is gone: while it is there it keeps the time by itself. If
    asked for, the first that gives a row gives the server's history. With locks the last of them
    gives the transaction's id.
    """
    limit = math.ceil(options.timeout * 1000)
    command_limit = min(limit, math.ceil(settings.command_timeout * 1000))
    level = options.isolation.name.replace("_", " ")
    statements = [
        f"BEGIN ISOLATION LEVEL {level}{' READ ONLY' if options.read_only else ''}",
        f"SET LOCAL statement_timeout = {command_limit}",
        f"SET LOCAL idle_in_transaction_session_timeout = {limit}",
    ]
    if server_version >= _HAS_TRANSACTION_TIMEOUT:
        # A limit of an administrator's runs since BEGIN, and another one begins only where none is.
        statements.append("SET LOCAL transaction_timeout = 0")
        statements.append(f"SET LOCAL transaction_timeout = {limit}")
    if asks_history:
        statements.append(f"SELECT {HISTORY_COLUMNS}")
    statements += [f"SELECT pg_advisory_xact_lock({lock.key})" for lock in options.locks]
    if options.locks:
        marks = "".join(lock.mark for lock in options.locks)
        statements.append(f"SELECT set_config('messagedb.locked', '{marks}', true), txid_current()")
    return "; ".join(statements).encode()


def has_ended(end: str) -> ValidationError:
    """The error for the use of a transaction that has ended."""
    return ValidationError(
        f"the transaction has ended: it is {end}. Nothing was sent. Begin another."
    )


def in_pipeline() -> ValidationError:
    """The error for a commit() in a pipeline of the user's, which would not wait for its answer."""
    return ValidationError(
        "commit() was called in a pipeline of the connection's. The transaction is rolled back. "
        "Leave the pipeline before, and run it again."
    )


def timed_out(timeout: float, *, is_confirmed: bool = False) -> TransactionTimeoutError:
    """The error for a transaction whose time is up.

    Args:
        timeout: its timeout in seconds.
        is_confirmed: whether the server has said that it has ended the transaction.
    """
    state = (
        "It is rolled back: nothing of it is stored, and its locks are free."
        if is_confirmed
        else "Nothing of it is stored: its connection was closed. It is rolled back as soon as the "
        "server notices that, and until then its locks may still be held."
    )
    return TransactionTimeoutError(
        f"the transaction did not end within its timeout of {timeout:g} s. {state} Run it again, "
        "with less to do in it or more time."
    )


def ended_early(reason: str, state: str | None) -> TransactionTimeoutError:
    """The error for a transaction that a limit of the server's has ended before its own time."""
    return TransactionTimeoutError(
        f"the server ended the transaction before its timeout, by a limit that was set there "
        f"({reason}, SQLSTATE {state}). It is rolled back: nothing of it is stored, and its locks "
        "are free. Run it again, with less to do in it, or with a higher limit."
    )


def connection_lost(reason: str) -> StoreUnavailableError:
    """The error for a transaction whose connection was lost before its COMMIT."""
    return StoreUnavailableError(
        f"the connection of the transaction was lost ({reason}). Nothing of it is stored: the "
        "transaction is rolled back as soon as the server notices that. Run it again."
    )


def begun_before_fork() -> ValidationError:
    """The error for the use of a transaction, or a bound client, of the parent process."""
    return ValidationError(
        "it was begun before this process was forked: its connection is the parent's, where it "
        "goes on. Nothing was sent. Begin another one here."
    )


def check_work(function: Any, max_attempts: Any) -> None:
    """What is run in a transaction is a function, and it is run at least once.

    Raises:
        ValidationError: it is not, or the number is no count. Nothing was sent.
    """
    if not callable(function):
        raise ValidationError(
            "give the function itself, which takes the transaction, not "
            f"{type(function).__name__}: run_transaction(transfer), not "
            "run_transaction(transfer(…)). Nothing was sent."
        )
    check_integer("max_attempts", max_attempts, least=1)


# psycopg's errors of the same meaning come from the user's own statements.
_RETRYABLE: Final = (
    RetryableError,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.LockNotAvailable,
)

_FIRST_DELAY: Final = 0.01
_LONGEST_DELAY: Final = 1.0


def retry_delay(error: Exception, attempt: int, retry_version_conflicts: bool) -> float | None:
    """The seconds to wait before a failed transaction is run again, None if it is not to be."""
    if isinstance(error, _RETRYABLE) or (
        retry_version_conflicts and isinstance(error, WrongExpectedVersionError | LostHistoryError)
    ):
        return pause(attempt)
    return None


def pause(attempt: int) -> float:
    """The seconds to wait after an attempt, from 1, that others made fail.

    They are drawn at random, from twice as many after each attempt, so that those who met once do
    not meet again.
    """
    return random.uniform(0, min(_FIRST_DELAY * 2 ** min(attempt, 10), _LONGEST_DELAY))

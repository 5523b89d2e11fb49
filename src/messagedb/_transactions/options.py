"""Options of a transaction, the statements that begin it, and the errors of its end. No I/O."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
from psycopg import IsolationLevel

from .._argument_checks import check_seconds
from .._errors import StoreUnavailableError, TransactionTimeoutError, ValidationError
from .._operations import validation
from .._operations.category_locks import CategoryLock, sort_for_locking
from .._operations.write_results import check_isolation
from .._sql.history import HISTORY_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._connection.settings import Settings

# The outcomes of a transaction, as they stand in error texts.
COMMITTED: Final = "committed"
ROLLED_BACK: Final = "rolled back"
UNKNOWN: Final = "of unknown outcome"

# The server's status of a transaction that has not ended.
IN_PROGRESS: Final = "in progress"

TIMEOUT_SQLSTATES: Final = ("25P03", "25P04")
"""SQLSTATEs of the server-side limits, in case they expire before our own."""

ALREADY_FAILED_TEXT: Final = (
    "an earlier statement of the transaction has failed, so PostgreSQL refuses further ones. "
    "Nothing of the transaction is stored or will be, except by a rollback to a savepoint. Let "
    "the error leave the block, and put statements that may fail into a savepoint()."
)

_WRITABLE_ISOLATION_LEVELS: Final = (IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED)

# The first PostgreSQL with a limit for a transaction as a whole.
_HAS_TRANSACTION_TIMEOUT: Final = 170000


class TransactionOptions(msgspec.Struct, frozen=True):
    """Checked options of a transaction.

    Attributes:
        isolation: its isolation level.
        read_only: True if PostgreSQL is to refuse every write.
        timeout: seconds from its BEGIN to its end.
        categories: the categories whose locks it acquires when it begins.
        locks: these locks, in order.
        is_writable: True if messages can be written in it.
        idle_timeout: seconds without a statement after which the server ends it, for a client that
            has disappeared or is paused; None for the timeout.
        is_local: whether it is for the tables of the database itself, so that a database that only
            passes the calls of Message DB on can execute it: it refuses to write messages there.
    """

    isolation: IsolationLevel
    read_only: bool
    timeout: float
    categories: tuple[str, ...]
    locks: tuple[CategoryLock, ...]
    is_writable: bool
    idle_timeout: float | None = None
    is_local: bool = False


def has_snapshot(isolation: IsolationLevel | None) -> bool:
    """Return True if all reads at an isolation level see the store as it was at the first one."""
    return isolation in (IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE)


def build_options(
    isolation: Any = None,
    read_only: Any = False,
    timeout: Any = 30.0,
    categories: Any = (),
    idle_timeout: float | None = None,
    *,
    is_local: bool = False,
) -> TransactionOptions:
    """Check the arguments of a transaction.

    Raises:
        ValidationError: an argument is invalid; the text names it. Nothing was sent.
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
    is_valid = not read_only and isolation in _WRITABLE_ISOLATION_LEVELS
    if names and not is_valid:
        kind = "read-only" if read_only else isolation.name.replace("_", " ")
        raise ValidationError(
            "categories acquire the locks for writes, which need READ COMMITTED and a transaction "
            f"that is not read-only; this one is {kind}. Nothing was sent."
        )
    return TransactionOptions(
        isolation,
        bool(read_only),
        timeout,
        names,
        sort_for_locking(names),
        is_valid,
        idle_timeout,
        is_local,
    )


def add_read_models(options: TransactionOptions, categories: Iterable[str]) -> TransactionOptions:
    """Return the options of a transaction that updates inline read models.

    Args:
        options: its options without them.
        categories: further categories to lock when it begins.

    Raises:
        ValidationError: it cannot write. Nothing was sent.
    """
    if not options.is_writable:
        kind = "read-only" if options.read_only else options.isolation.name.replace("_", " ")
        raise ValidationError(
            "read_models are updated with what the transaction writes, which needs READ COMMITTED "
            f"and a transaction that is not read-only; this one is {kind}. Nothing was sent."
        )
    names = (*options.categories, *categories)
    return msgspec.structs.replace(options, categories=names, locks=sort_for_locking(names))


def check_writable(options: TransactionOptions) -> None:
    """Raise if the transaction cannot write.

    Raises:
        ValidationError: the transaction is read-only, or its snapshot may be older than the lock of
            the category. Nothing was sent.
    """
    if options.is_writable:
        return
    if options.read_only:
        raise ValidationError(
            "the transaction was begun with read_only=True. Nothing was sent, and the transaction "
            "continues. Write in a transaction without read_only."
        )
    check_isolation(options.isolation.name.replace("_", " ").lower())


def build_begin(
    options: TransactionOptions,
    settings: Settings,
    server_version: int,
    *,
    asks_history: bool = False,
) -> bytes:
    """Return the statements that begin a transaction, to be sent together.

    The server-side limits are for a client that has disappeared: the client enforces the timeout
    itself. With *asks_history* the first statement that returns a row returns the server's history.
    With locks the last statement returns the transaction's id.
    """
    limit = math.ceil(options.timeout * 1000)
    command_limit = min(limit, math.ceil(settings.command_timeout * 1000))
    idle_limit = limit
    if options.idle_timeout is not None:
        idle_limit = min(limit, math.ceil(options.idle_timeout * 1000))
    level = options.isolation.name.replace("_", " ")
    statements = [
        f"BEGIN ISOLATION LEVEL {level}{' READ ONLY' if options.read_only else ''}",
        f"SET LOCAL statement_timeout = {command_limit}",
        f"SET LOCAL idle_in_transaction_session_timeout = {idle_limit}",
    ]
    if server_version >= _HAS_TRANSACTION_TIMEOUT:
        # An administrator's limit runs since BEGIN. A new limit only starts if none is set.
        statements.append("SET LOCAL transaction_timeout = 0")
        statements.append(f"SET LOCAL transaction_timeout = {limit}")
    if asks_history:
        statements.append(f"SELECT {HISTORY_COLUMNS}")
    statements += [f"SELECT pg_advisory_xact_lock({lock.key})" for lock in options.locks]
    if options.locks:
        marks = "".join(lock.mark for lock in options.locks)
        statements.append(f"SELECT set_config('messagedb.locked', '{marks}', true), txid_current()")
    return "; ".join(statements).encode()


def transaction_ended_error(end: str) -> ValidationError:
    """Return the error for the use of a transaction that has ended."""
    return ValidationError(
        f"the transaction has ended: it is {end}. Nothing was sent. Begin another transaction."
    )


def commit_in_pipeline_error() -> ValidationError:
    """Return the error for a commit() in a psycopg pipeline, which would not wait for it."""
    return ValidationError(
        "commit() was called inside a psycopg pipeline. The transaction is rolled back. Leave the "
        "pipeline before commit(), and run the transaction again."
    )


def transaction_timeout_error(
    timeout: float, *, is_confirmed: bool = False
) -> TransactionTimeoutError:
    """Return the error for a transaction whose timeout has expired.

    Args:
        timeout: its timeout in seconds.
        is_confirmed: True if the server has reported that it ended the transaction.
    """
    state = (
        "It is rolled back: nothing of it is stored, and its locks are released."
        if is_confirmed
        else "Nothing of it is stored: its connection was closed. It is rolled back when the "
        "server notices that; until then its locks may still be held."
    )
    return TransactionTimeoutError(
        f"the transaction did not end within its timeout of {timeout:g} s. {state} Run it again, "
        "with less work or a longer timeout."
    )


def ended_early_error(reason: str, state: str | None) -> TransactionTimeoutError:
    """Return the error for a transaction that the server ended by one of its limits."""
    return TransactionTimeoutError(
        f"the server ended the transaction before its timeout, because of a limit of the server "
        f"({reason}, SQLSTATE {state}). It is rolled back: nothing of it is stored, and its locks "
        "are released. Run it again, with less work or a higher limit."
    )


def connection_lost_error(reason: str) -> StoreUnavailableError:
    """Return the error for a transaction whose connection was lost before its COMMIT."""
    return StoreUnavailableError(
        f"the connection of the transaction was lost ({reason}). Nothing of it is stored: the "
        "transaction is rolled back when the server notices that. Run it again."
    )


def begun_before_fork_error() -> ValidationError:
    """Return the error for the use of a parent process's transaction or bound client."""
    return ValidationError(
        "the transaction was begun before this process was forked. Nothing was sent; the parent "
        "process owns its connection and can continue the transaction. Begin another one here."
    )

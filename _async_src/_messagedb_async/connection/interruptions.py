"""Exceptions from outside an operation, and the connection that they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from messagedb._concurrency.backend_async import CANCELLED
from messagedb._connection.psycopg_internals import has_sent_everything
from messagedb._errors import MessageDBError

if TYPE_CHECKING:
    from psycopg import AsyncConnection


def is_interruption(error: BaseException) -> bool:
    """Return True if an exception is neither psycopg's nor ours: a signal's handler has raised it.

    The cancellation of a task is not one: psycopg waits for the end of the interrupted statement.
    """
    return not isinstance(error, (psycopg.Error, MessageDBError, CANCELLED, GeneratorExit))


def find_hidden_interruption(error: psycopg.OperationalError) -> BaseException | None:
    """Return an exception from outside that psycopg mistook for the socket's, such as an OSError.

    One of the operating system has a number; a TimeoutError that an application raises has none.
    """
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno is None:
        return cause
    return None


def abort_operation(conn: AsyncConnection[Any]) -> None:
    """Close a connection on which an operation was interrupted, without waiting.

    The server's work may still be done. If that may be a commit, a connection of ours stays open
    until the server has responded. One of the user's is not changed unless it is unusable.
    """
    pgconn = conn.pgconn
    is_at_work = pgconn.transaction_status == TransactionStatus.ACTIVE
    store_conn: Any = conn
    may_commit: bool | None = getattr(store_conn, "may_commit", None)
    if may_commit is None:
        if is_at_work:
            pgconn.finish()
    elif may_commit and is_at_work and has_sent_everything(conn):
        store_conn.is_waiting = True
    else:
        pgconn.finish()

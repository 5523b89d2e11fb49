"""Query for the outcome of a transaction whose COMMIT was sent without a response."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import psycopg

from messagedb._concurrency.backend_async import sleep
from messagedb._connection.deadline_watchdog import DeadlineWatch, build_cancel
from messagedb._connection.error_mapping import is_connection_lost
from messagedb._connection.history import parse_history
from messagedb._connection.settings import RESPONSE_GRACE_SECONDS
from messagedb._errors import StoreUnavailableError
from messagedb._sql.history import WAIT_FOR_STANDBY
from messagedb._sql.statements import Statement, transaction_fate
from messagedb._transactions.commit_proof import CommitProof, determine_status
from messagedb._transactions.options import COMMITTED, IN_PROGRESS, UNKNOWN

from ..connection.connection import AsyncStoreCursor, execute, watching_commits

if TYPE_CHECKING:
    from typing import Any

    from ..execution.connection_providers import AsyncConnectionProvider

# Seconds between two queries.
_POLL_SECONDS = 0.02


async def query_commit_status(provider: AsyncConnectionProvider, proof: CommitProof) -> str:
    """Query, for at most the time of a command, whether a transaction was committed.

    While the server does not know it yet, because it has not noticed the end of the connection or
    is restarting, the query is repeated. If commits wait for a standby, "committed" is returned
    when a later commit has reached the standby.

    Args:
        provider: the connections to query with.
        proof: the facts that identify the transaction.

    Returns:
        The outcome of the transaction, one of the constants of ``_transactions``.
    """
    deadline = provider.session_config.compute_deadline()
    status = IN_PROGRESS
    while status == IN_PROGRESS and monotonic() < deadline - RESPONSE_GRACE_SECONDS:
        status = await _query_once(provider, proof, deadline)
        if status == IN_PROGRESS:
            await sleep(_POLL_SECONDS)
    return UNKNOWN if status == IN_PROGRESS else status


async def _query_once(
    provider: AsyncConnectionProvider, proof: CommitProof, deadline: float
) -> str:
    try:
        executor = await provider.acquire(deadline)
    except StoreUnavailableError:
        return UNKNOWN
    conn = executor.connection
    # A connection of a borrowed pool has no deadline.
    watch = DeadlineWatch(deadline)
    try:
        watch.start(conn.pgconn.socket, build_cancel(conn.pgconn))
        status = await _query_status(provider, proof, conn)
        if status == COMMITTED:
            watch.stop()
            executor.expect_commit()
            async with watching_commits(conn):
                await execute(AsyncStoreCursor(conn), Statement(WAIT_FOR_STANDBY, ()))
        return status
    except psycopg.errors.InvalidParameterValue:
        # The server has not given that id to a transaction: it is not the one that had.
        return UNKNOWN
    except psycopg.Error as error:
        # Lost, as connections of the pool are that are as old as the one of the COMMIT.
        return IN_PROGRESS if is_connection_lost(error, conn.closed) else UNKNOWN
    except OSError as error:
        if error.errno is None:
            # Of an application: the system's have a number.
            raise
        return UNKNOWN
    finally:
        watch.stop()
        if watch.has_expired:
            await conn.close()
        await provider.release(executor)


async def _query_status(provider: AsyncConnectionProvider, proof: CommitProof, conn: Any) -> str:
    text = transaction_fate(
        provider.session_config.sql,
        table_readable=provider.dialect.table_readable,
        history_readable=provider.session_config.has_readable_history,
    )
    params = (proof.transaction_id, proof.backend_pid, proof.message_id)
    row = (await execute(AsyncStoreCursor(conn), Statement(text, params)))[0]
    status, *history, is_waiting, xmin = row
    return determine_status(proof, parse_history(tuple(history)), status, is_waiting, xmin)

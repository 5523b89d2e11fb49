"""Query for the outcome of a transaction whose COMMIT was sent without a response."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import psycopg

from messagedb._concurrency.backend_async import sleep
from messagedb._connection.deadline_watchdog import Watch, canceller
from messagedb._connection.error_mapping import is_lost
from messagedb._connection.history import history_from_row
from messagedb._connection.settings import ANSWER_GRACE
from messagedb._errors import StoreUnavailableError
from messagedb._sql.history import WAIT_FOR_STANDBY
from messagedb._sql.statements import Statement, transaction_fate
from messagedb._transactions.commit_proof import CommitProof, fate
from messagedb._transactions.options import COMMITTED, IN_PROGRESS, UNKNOWN

from ..connection.connection import AsyncStoreCursor, execute, watching_commits

if TYPE_CHECKING:
    from typing import Any

    from ..execution.connection_providers import AsyncConnectionProvider

# Seconds between two queries.
_POLL = 0.02


async def fate_of(provider: AsyncConnectionProvider, proof: CommitProof) -> str:
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
    deadline = provider.profile.deadline()
    end = IN_PROGRESS
    while end == IN_PROGRESS and monotonic() < deadline - ANSWER_GRACE:
        end = await _ask(provider, proof, deadline)
        if end == IN_PROGRESS:
            await sleep(_POLL)
    return UNKNOWN if end == IN_PROGRESS else end


async def _ask(provider: AsyncConnectionProvider, proof: CommitProof, deadline: float) -> str:
    try:
        executor = await provider.acquire(deadline)
    except StoreUnavailableError:
        return UNKNOWN
    conn = executor.connection
    # A connection of a borrowed pool has no deadline.
    watch = Watch(deadline)
    try:
        watch.start(conn.pgconn.socket, canceller(conn.pgconn))
        end = await _question(provider, proof, conn)
        if end == COMMITTED:
            watch.stop()
            executor.expect_commit()
            async with watching_commits(conn):
                await execute(AsyncStoreCursor(conn), Statement(WAIT_FOR_STANDBY, ()))
        return end
    except psycopg.errors.InvalidParameterValue:
        # The server has not given that id to a transaction: it is not the one that had.
        return UNKNOWN
    except psycopg.Error as error:
        # Lost, as connections of the pool are that are as old as the one of the COMMIT.
        return IN_PROGRESS if is_lost(error, conn.closed) else UNKNOWN
    except OSError as error:
        if error.errno is None:
            # Of an application: the system's have a number.
            raise
        return UNKNOWN
    finally:
        watch.stop()
        if watch.is_over:
            await conn.close()
        await provider.release(executor)


async def _question(provider: AsyncConnectionProvider, proof: CommitProof, conn: Any) -> str:
    text = transaction_fate(
        provider.profile.sql,
        table_readable=provider.dialect.table_readable,
        history_readable=provider.profile.reads_history,
    )
    params = (proof.transaction_id, proof.backend_pid, proof.message_id)
    row = (await execute(AsyncStoreCursor(conn), Statement(text, params)))[0]
    status, *history, is_waiting, xmin = row
    return fate(proof, history_from_row(tuple(history)), status, is_waiting, xmin)

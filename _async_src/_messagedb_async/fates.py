"""What became of a transaction whose COMMIT was sent and not answered: asked of the server."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import psycopg

from messagedb._concurrency_async import sleep
from messagedb._postgres_errors import is_lost
from messagedb._settings import ANSWER_GRACE
from messagedb._sql import TRANSACTION_STATUS, Statement
from messagedb._transactions import IN_PROGRESS, fate
from messagedb._watchdog import Watch, canceller
from messagedb.errors import StoreUnavailableError

from .connection import AsyncStoreCursor, execute

if TYPE_CHECKING:
    from .pools import AsyncSource

# How often it is asked, in seconds.
_POLL = 0.02


async def fate_of(source: AsyncSource, id: int, begun: float) -> str:
    """Ask, within the time of a command, whether a transaction was committed or rolled back.

    While the server does not know yet, because it has not seen the end of the connection or is
    starting again, it is asked again.

    Args:
        source: where to ask.
        id: the transaction's id.
        begun: when it began, by this process's monotonic clock.

    Returns:
        How the transaction ended, in the words of ``_transactions``.
    """
    deadline = source.profile.deadline()
    status: str | None = IN_PROGRESS
    has_crashed = False
    while status == IN_PROGRESS and monotonic() < deadline - ANSWER_GRACE:
        status, since_crash = await _status(source, id, deadline)
        has_crashed = since_crash is not None and since_crash < (monotonic() - begun) * 1e6
        if status == IN_PROGRESS:
            await sleep(_POLL)
    return fate(status, may_be_another=has_crashed)


async def _status(source: AsyncSource, id: int, deadline: float) -> tuple[str | None, int | None]:
    """The server's word, None where it has none any more, or cannot be asked.

    And how many microseconds ago it crashed, at the latest; None for never.
    """
    try:
        conn = await source.acquire(deadline)
    except StoreUnavailableError:
        return None, None
    # A connection of a borrowed pool has no deadline of its own.
    watch = Watch(deadline)
    try:
        watch.start(conn.pgconn.socket, canceller(conn.pgconn))
        rows = await execute(AsyncStoreCursor(conn), Statement(TRANSACTION_STATUS, (id,)))
    except psycopg.Error as error:
        # Lost, as connections of the pool are that are as old as the one of the COMMIT.
        return IN_PROGRESS if is_lost(error, conn.closed) else None, None
    except OSError:
        return None, None
    finally:
        watch.stop()
        if watch.is_over:
            await conn.close()
        await source.release(conn)
    return rows[0][0], rows[0][1]

"""The statements of a group, in one round trip, and the outcomes of its writes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from messagedb._group_commit.forming import LOCK_WAIT_MILLISECONDS, build_parameters
from messagedb._group_commit.outcomes import parse_group
from messagedb._sql.groups import LOCK_ALL, SET_LIMITS, SET_TIME_LIMIT, TRY_LOCKS
from messagedb._sql.statements import BEGIN, COMMIT, LOCK, Statement

from ..connection.connection import AsyncStoreCursor, check_replicated
from ..connection.psycopg_internals import pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import AsyncConnection
    from psycopg.rows import TupleRow

    from messagedb._group_commit.forming import GroupParameters
    from messagedb._group_commit.pending_write import LockNotFree, Outcome, PendingWrite

_LOCK_WAIT = f"{LOCK_WAIT_MILLISECONDS}ms"


async def commit_group(
    conn: AsyncConnection[Any], insert: bytes, group: Sequence[PendingWrite], *, tries: bool
) -> list[Outcome | LockNotFree]:
    """Write a group in one transaction, and return the outcome of each write.

    The transaction is that of a pipeline: it is committed, or rolled back, at its end.

    Args:
        conn: a connection of the client's own pool.
        insert: the SQL of the insert.
        group: the writes.
        tries: whether locks are tried instead of waited for.

    Raises:
        psycopg.errors.LockNotAvailable: a lock was not free in time, or a session without the lock
            has not ended the insert of one of the ids. Nothing was written.
        NotReplicated: it is committed, and an administrator has ended its wait for a standby.
    """
    parameters = _build(group)
    locks = Statement(TRY_LOCKS if tries else LOCK_ALL, (parameters.keys, _LOCK_WAIT))
    rows = await _execute(conn, (locks,), parameters.build_insert(insert, has_tried=tries))
    check_replicated(conn.notices)  # type: ignore[attr-defined]  # of our own class
    return parse_group([pending.write for pending in group], rows)


async def wait_for_lock(conn: AsyncConnection[Any], key: int, seconds: float) -> None:
    """Begin a transaction, and acquire the lock of a category, waiting so many seconds at most.

    The connection is in the transaction afterwards, also if this raises.
    """
    milliseconds = str(max(1, math.ceil(seconds * 1000)))
    limit = Statement(SET_TIME_LIMIT, (milliseconds,))
    await _execute(conn, (Statement(BEGIN, ()), limit), Statement(LOCK, (key,)))


async def commit_locked(
    conn: AsyncConnection[Any], insert: bytes, group: Sequence[PendingWrite], seconds: float
) -> list[Outcome | LockNotFree]:
    """Write a group under a lock that the transaction has, and commit it.

    Raises:
        NotReplicated: it is committed, and an administrator has ended its wait for a standby.
    """
    parameters = _build(group)
    milliseconds = str(math.ceil(seconds * 1000))
    limits = Statement(SET_LIMITS, (_LOCK_WAIT, milliseconds))
    statement = parameters.build_insert(insert, has_tried=False)
    rows = await _execute(conn, (limits,), statement, (Statement(COMMIT, ()),))
    check_replicated(conn.notices)  # type: ignore[attr-defined]  # of our own class
    return parse_group([pending.write for pending in group], rows)


def _build(group: Sequence[PendingWrite]) -> GroupParameters:
    return build_parameters(
        [pending.write for pending in group], [pending.lock.key for pending in group]
    )


async def _execute(
    conn: AsyncConnection[Any],
    before: tuple[Statement, ...],
    statement: Statement,
    after: tuple[Statement, ...] = (),
) -> list[TupleRow]:
    """Execute prepared statements in one round trip, and return the rows of the wanted one."""
    cursor = AsyncStoreCursor(conn)
    async with pipeline(conn):
        for text, params in before:
            await AsyncStoreCursor(conn).execute(text, params, prepare=bool(params))
        await cursor.execute(*statement, binary=True, prepare=True)
        for text, params in after:
            await AsyncStoreCursor(conn).execute(text, params, prepare=False)
    return await cursor.fetchall()

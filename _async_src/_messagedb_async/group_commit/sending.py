"""The way of a group to the server, and the outcomes of its writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import psycopg

from messagedb._connection.error_mapping import is_connection_lost
from messagedb._group_commit.pending_write import LOCK_NOT_FREE, SEND_ALONE, SentAlone

from ..connection.interruptions import abort_operation, is_interruption

if TYPE_CHECKING:
    from messagedb._group_commit.pending_write import LockNotFree, Outcome, PendingWrite

    from ..execution.executors import AsyncPoolExecutor
    from .lead import Lead


class AsyncCommit(Protocol):
    """A function that writes a group on a connection, and commits it."""

    async def __call__(
        self, conn: Any, group: list[PendingWrite]
    ) -> list[Outcome | LockNotFree]: ...


async def send_group(
    executor: AsyncPoolExecutor, lead: Lead, commit: AsyncCommit
) -> list[PendingWrite]:
    """Write a group, set the outcomes, and return the writes whose lock was not free.

    If the group as a whole was not stored, or its response was lost, the callers send their writes
    by themselves. The server then finds those that were stored by their ids.
    """
    conn = executor.connection
    try:
        group = _select(lead.writes, conn.history_number)
        if not group:
            return []
        executor.expect_commit()
        lead.is_sent = True
        results = await commit(conn, group)
    except psycopg.Error as error:
        is_lost = is_connection_lost(error, conn.closed)
        if not is_lost:
            executor.note_refusal(error)
        lead.settle(SentAlone(error) if is_lost else SEND_ALONE)
        return []
    except BaseException as error:
        if is_interruption(error):
            abort_operation(conn)
        raise
    locked: list[PendingWrite] = []
    for pending, result in zip(group, results, strict=True):
        if result is LOCK_NOT_FREE:
            locked.append(pending)
        else:
            pending.place.set_outcome(result)
    return locked


def _select(writes: list[PendingWrite], history_number: int) -> list[PendingWrite]:
    """Return the writes that were decided upon in the history of the connection's server.

    Others have to look whether the store still has the message that they are based on.
    """
    selected: list[PendingWrite] = []
    for pending in writes:
        basis = pending.write.basis
        if basis is not None:
            if basis.message_id and basis.history != history_number:
                pending.place.set_outcome(SEND_ALONE)
                continue
            basis.checked_in = history_number
            basis.sent_in.append(history_number)
        selected.append(pending)
    return selected

"""A batch through PL/Proxy: one call, which is a transaction on the node that has the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from messagedb._operations import batch_plan, write_results

from ..connection.connection import AsyncStoreCursor, execute

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from messagedb._operations.dialect import Dialect
    from messagedb._operations.requests import WriteRequest

# How often a write starts again after losing against a session that did not take the lock.
_MAX_ATTEMPTS = 3


async def write_on_node(
    conn: AsyncConnection[Any], dialect: Dialect, write: WriteRequest
) -> list[int]:
    """Write all messages of a batch or none, in one round trip, and return their positions.

    The node writes by the rules of `batch_plan.plan_batch`, which the same facts are given to here:
    it returns the positions, or raises the reason why nothing was written.

    Raises:
        DuplicateMessageError: an id is in another stream of the node.
        WrongExpectedVersionError: the stream has another version, or a part of the batch only.
    """
    call = dialect.build_node_write(write)
    conflict: psycopg.Error | None = None
    for _ in range(_MAX_ATTEMPTS):
        try:
            rows = await execute(AsyncStoreCursor(conn), call)
        except psycopg.errors.UniqueViolation as error:
            conflict = error
            continue
        found = {id: (stream, position) for _, _, id, stream, position in rows if id is not None}
        return batch_plan.plan_batch(write, rows[0][0], found).positions
    assert conflict is not None
    raise write_results.unique_violation_error(write, conflict) from conflict

"""The copy of a category from one node to another, beside writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

import messagedb._schema.move_plan as move_plan
from messagedb._schema.move_plan import Mark, MoveRequest

if TYPE_CHECKING:
    from psycopg import AsyncConnection

# A pass that copies less is followed by the end of the move.
_FEW = 200
_MAX_PASSES = 100


class AsyncCategoryCopier:
    """Copies the messages of a category that the target does not have yet, in their order.

    Args:
        conn: a connection to the proxying database, in autocommit mode.
        request: the move.
        source: the number of the node that has the category.
        target: the number of the other.

    Attributes:
        copied: the number of messages that were copied.
    """

    def __init__(
        self, conn: AsyncConnection[Any], request: MoveRequest, source: int, target: int
    ) -> None:
        self._conn = conn
        self._request = request
        self._source = source
        self._target = target
        self.copied = 0
        # The last message that both have: on the source and on the target.
        self._after = 0
        self._compared = (0, 0)

    async def find_start(self) -> None:
        """Find the last message that was copied before.

        Raises:
            IncompatibleServerError: the target has another message.
        """
        mark = await self.mark(self._target)
        if mark.head_id is None:
            return
        values = [self._source, self._request.category, [mark.head_id]]
        rows = await self._fetch(move_plan.FIND_GLOBAL_POSITIONS, values)
        if not rows:
            why = f"its last message, {mark.head_id}, is not in the original"
            raise move_plan.not_a_copy_error(self._request, why)
        self._after = rows[0][1]

    async def copy_all(self) -> None:
        """Copy until few messages are left."""
        for _ in range(_MAX_PASSES):
            if await self.copy_pass() <= _FEW:
                return

    async def copy_pass(self) -> int:
        """Copy all messages up to the last one now, and return their number.

        Raises:
            IncompatibleServerError: the target has something else at a message's place.
        """
        mark = await self.mark(self._source)
        count = 0
        while self._after < mark.head:
            values = [self._source, mark.categories, self._after, mark.head, move_plan.PAGE]
            rows = await self._fetch(move_plan.EXPORT, values)
            if not rows:
                break
            await self._store(rows)
            self._after = rows[-1][-1]
            count += len(rows)
        self.copied += count
        return count

    async def _store(self, rows: list[tuple[Any, ...]]) -> None:
        columns = [list(column) for column in zip(*rows, strict=True)][:-1]
        try:
            ((stored,),) = await self._fetch(move_plan.IMPORT, [self._target, *columns])
        except psycopg.Error as error:
            if error.sqlstate != "23505":
                raise
            why = "another message is at the place of one"
            raise move_plan.not_a_copy_error(self._request, why) from error
        if stored != len(rows):
            why = f"{len(rows) - stored} messages are there in another form, or other streams"
            raise move_plan.not_a_copy_error(self._request, why)

    async def compare(self) -> None:
        """Compare what was copied since the last comparison: numbers, ids and places.

        Raises:
            IncompatibleServerError: there is a difference.
        """
        source_mark, target_mark = await self.mark(self._source), await self.mark(self._target)
        source_after, target_after = self._compared
        ours = await self._digest(self._source, source_mark, source_after, self._after)
        theirs = await self._digest(self._target, target_mark, target_after, move_plan.END)
        if ours != theirs:
            why = f"it has {theirs[0]} messages, and the original {ours[0]}, or others"
            raise move_plan.not_a_copy_error(self._request, why)
        self._compared = self._after, target_mark.head

    async def mark(self, node: int) -> Mark:
        """Return the state of the category on a node, after the writes in flight."""
        return Mark(*(await self._fetch(move_plan.MARK, [node, self._request.category]))[0])

    async def _digest(self, node: int, mark: Mark, after: int, upto: int) -> tuple[int, str]:
        rows = await self._fetch(move_plan.DIGEST, [node, mark.categories, after, upto])
        return rows[0][0], rows[0][1]

    async def _fetch(self, query: str, values: list[Any]) -> list[tuple[Any, ...]]:
        return await (await self._conn.execute(query.encode(), values)).fetchall()

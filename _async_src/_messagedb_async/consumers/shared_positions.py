"""Positions that transactions outside of the consumer's run move forward, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messagedb._messages.ids import uuid7
from messagedb._sql import consumers as sql

from .position_stores import AsyncTablePositions, PendingSave, execute_in

if TYPE_CHECKING:
    from messagedb._subscriptions.read_trail import ReadMessage

    from ..transactions.transaction import AsyncTransaction


class AsyncSharedPositions(AsyncTablePositions):
    """Positions in a row that only moves forward.

    A save behind the stored position changes nothing. A transaction that handles messages has to
    lock the row first, and to leave out the messages up to its position.
    """

    async def save_in_transaction(
        self, transaction: AsyncTransaction, position: int, last_read: ReadMessage | None = None
    ) -> PendingSave:
        """Store a position with a transaction, unless a later one is stored."""
        pending = PendingSave(uuid7(), position, 0)
        read_message: tuple[str | None, int | None, str | None] = (None, None, None)
        if last_read is not None:
            history = self._histories.get_text(last_read.history)
            read_message = (last_read.id, last_read.position, history)
        await execute_in(
            transaction,
            sql.RAISE_POSITION,
            (self._schema, self.name, position, str(pending.id), *read_message),
        )
        return pending

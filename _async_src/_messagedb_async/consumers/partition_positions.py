"""The positions of partitions in the table: each is stored in one message with its COMMIT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from messagedb._messages.ids import uuid7
from messagedb._sql.consumers import SAVE_POSITION, SAVE_REFUSED

from ..client_core.core import open_transaction
from ..transactions.state import AsyncLastStatement
from ..transactions.transaction import get_state
from .position_stores import AsyncTablePositions, PendingSave

if TYPE_CHECKING:
    from messagedb._errors import MessageDBError
    from messagedb._subscriptions.read_trail import ReadMessage

    from ..transactions.transaction import AsyncTransaction


class AsyncPartitionPositions(AsyncTablePositions):
    """Positions in a row, which no process holds that is paused or cut off before its COMMIT."""

    async def save_in_transaction(
        self, transaction: AsyncTransaction, position: int, last_read: ReadMessage | None = None
    ) -> PendingSave:
        """Store a position with the COMMIT, which raises the errors for a conflict."""
        pending = PendingSave(uuid7(), position, 0)
        state = get_state(transaction)
        values = (*self._list_values(pending, last_read), self.stored is None)
        text = sql.SQL(SAVE_POSITION).format(sql.SQL(", ").join(map(sql.Literal, values)))
        state.last_statement = AsyncLastStatement(
            text.as_bytes(state.conn), SAVE_REFUSED, self._find_conflict
        )
        return pending

    async def _find_conflict(self) -> MessageDBError:
        """Return the error for a save that was refused, when its transaction is rolled back."""
        async with open_transaction(self._client, self._options) as transaction:
            return await self._read_conflict(transaction)

"""The run of an inline read model, beside transactions that apply messages themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from messagedb._messages.ids import uuid7
from messagedb._read_models.inline import CREATE_POSITION
from messagedb._sql.consumers import LOCK_POSITION, READ_POSITION

from ..consumers.context import AsyncBatchContext, AsyncContext
from ..consumers.position_stores import execute_in

if TYPE_CHECKING:
    from messagedb._concurrency.callables import AsyncUnaryFunction

    from ..client_core.core import AsyncClientCore
    from ..transactions.transaction import AsyncTransaction


class AsyncAppliedMessages:
    """Leaves out what transactions have applied since the run read it.

    Args:
        store: the schema of the store.
        name: the key of the row with the position.
    """

    def __init__(self, store: str, name: str) -> None:
        self._key = (store, name)
        # The last transaction of the run, and the position that it has locked.
        self._transaction: AsyncTransaction | None = None
        self._position = 0

    async def leave_out(
        self,
        context: AsyncContext | AsyncBatchContext,
        call_next: AsyncUnaryFunction[AsyncContext | AsyncBatchContext, Any],
    ) -> Any:
        """Call the handler with the messages that are not applied: the middleware of the run."""
        transaction = context.transaction
        if transaction is not self._transaction:
            rows = await execute_in(transaction, LOCK_POSITION, self._key)
            self._position = rows[0][0] if rows else 0
            self._transaction = transaction
        if isinstance(context, AsyncContext):
            is_applied = context.message.global_position <= self._position
            return None if is_applied else await call_next(context)
        # The list belongs to the context.
        context.messages[:] = [
            message for message in context.messages if message.global_position > self._position
        ]
        return await call_next(context) if context.messages else None


async def create_position(client: AsyncClientCore, store: str, name: str) -> None:
    """Create the row with the position of a model, unless it exists.

    Raises:
        MessageDBError: it could not be created. Nothing was changed.
    """
    async with client.transaction() as transaction:
        if not await execute_in(transaction, READ_POSITION, (store, name)):
            await execute_in(transaction, CREATE_POSITION, (store, name, str(uuid7())))

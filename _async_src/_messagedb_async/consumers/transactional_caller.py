"""One attempt of a transactional consumer: the handler, its writes and the position together."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

from messagedb._concurrency.backend_async import CANCELLED, is_task_cancelled
from messagedb._consumers.failure_policy import cancelled_dependency_error, find_problem
from messagedb._consumers.held_streams import STREAM_IS_HELD
from messagedb._consumers.message_groups import GroupResult, limit_seconds
from messagedb._consumers.partition_records import claim_lost_error
from messagedb._errors import (
    LostHistoryError,
    MessageDBError,
    PositionConflictError,
    WrongExpectedVersionError,
)
from messagedb._subscriptions.availability import is_store_unavailable
from messagedb._transactions.options import build_options
from messagedb.errors import OutcomeUnknownError

from ..client_core.core import open_transaction
from ..operations.internals import get_server
from .context import AsyncBatchContext, AsyncContext
from .history_check import check_message
from .parking import park
from .store_probe import is_store_problem

if TYPE_CHECKING:
    from messagedb._concurrency.callables import AsyncUnaryFunction
    from messagedb._consumers.handler_registry import HandlerCall
    from messagedb._consumers.message_groups import GroupCall
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._messages.message import Message

    from ..client_core.core import AsyncClientCore
    from ..transactions.transaction import AsyncTransaction
    from .handler_caller import ProblemOrigin
    from .position_stores import AsyncPositions, PendingSave
    from .run_state import AsyncRunState
    from .stream_holder import AsyncStreamHolder


class AsyncTransactionalCaller:
    """Calls handlers in transactions, which store the position, too.

    Args:
        state: the run's.
        client: the client of the transactions.
        settings: the consumer's.
        positions: the position store.
        batches: the handlers that are called with lists.
        holder: the held streams.
    """

    def __init__(
        self,
        state: AsyncRunState,
        client: AsyncClientCore,
        settings: ConsumerSettings,
        positions: AsyncPositions,
        batches: frozenset[HandlerCall],
        holder: AsyncStreamHolder,
    ) -> None:
        self._state = state
        self._holder = holder
        self._held = holder.held
        self._client = client
        self._settings = settings
        self._positions = positions
        self._batches = batches
        self._id_namespace = settings.id_namespace
        idle_timeout = settings.idle_timeout
        self._options = build_options(
            timeout=settings.transaction_timeout,
            categories=settings.write_categories,
            idle_timeout=idle_timeout,
            is_local=True,
        )
        # The list of parked messages does not change while it is read.
        self._parking_options = build_options(
            categories=[settings.parked_stream.partition("-")[0]], idle_timeout=idle_timeout
        )
        self._local_options = build_options(idle_timeout=idle_timeout, is_local=True)
        # From the last call: the problem of our own statement around the handler; and that of a
        # handler's statement which failed because of the store.
        self._own_problem: Exception | None = None
        self._store_problem: Exception | None = None
        self._is_in_handler = False
        self._max_group_seconds = limit_seconds(settings.transaction_timeout)

    async def call(
        self, message: Message[Any], attempt: int, invoke: HandlerCall
    ) -> Exception | None:
        """Call the handler once, and store the position with its effects.

        Raises:
            PositionConflictError: another consumer has stored its position.
            LostHistoryError: the message, or the position, is no longer in the store.
        """
        if self._held.first and self._held.is_behind(message):
            return STREAM_IS_HELD
        position = message.global_position

        async def handle(transaction: AsyncTransaction) -> int:
            await self._invoke(invoke, [message], attempt, transaction)
            return position

        self._own_problem = self._store_problem = None
        problem = await self._call(position, position, handle)
        if problem is None:
            self._own_problem = self._store_problem = None
            self._state.counters.handled += 1
        return problem

    async def call_group(self, calls: list[GroupCall]) -> GroupResult:
        """Call handlers in one transaction, and store the position of the last message with it.

        It ends before the next call when it has taken long enough, or the run is to pause.

        Raises:
            PositionConflictError: another consumer has stored its position.
            LostHistoryError: the messages, or the position, are no longer in the store.
        """
        progress, signals = self._state.progress, self._state.signals
        first, last = calls[0].messages[0].global_position, calls[-1].messages[-1].global_position
        tried_until = first
        count = 0

        async def handle(transaction: AsyncTransaction) -> int:
            nonlocal tried_until, count
            ends_at = monotonic() + self._max_group_seconds
            for invoke, messages in calls:
                if count and (signals.must_check or monotonic() >= ends_at):
                    break
                progress.current_message = messages[0]
                tried_until = messages[-1].global_position
                await self._invoke(invoke, messages, 1, transaction)
                count += len(messages)
            position = tried_until
            # If the position cannot be stored, each of them may be the cause.
            tried_until = last
            return position

        problem = await self._call(first, last, handle)
        if problem is not None:
            return GroupResult(tried_until, problem)
        self._state.counters.handled += count
        assert self._positions.stored is not None
        return GroupResult(self._positions.stored)

    def get_done_position(self, message: Message[Any]) -> int:
        """Return the position up to which all is done: a group's, if that was stored after all."""
        return max(message.global_position, self._positions.stored or 0)

    async def _invoke(
        self,
        invoke: HandlerCall,
        messages: list[Message[Any]],
        attempt: int,
        transaction: AsyncTransaction,
    ) -> None:
        is_batch = invoke in self._batches
        context = (
            AsyncBatchContext([*messages], attempt, transaction, self._id_namespace)
            if is_batch
            else AsyncContext(messages[0], attempt, transaction, self._id_namespace)
        )
        self._is_in_handler = True
        result = await invoke(context)
        self._is_in_handler = False
        if result is not None and (problem := find_problem(result, is_batch=is_batch)) is not None:
            raise problem

    async def _call(
        self, first: int, last: int, handle: AsyncUnaryFunction[AsyncTransaction, int]
    ) -> Exception | None:
        """Handle messages in a transaction, and store the position with it.

        Args:
            first: the global position of the first of them.
            last: that of the last one.
            handle: calls the handlers, and returns the position to store.
        """
        pending: PendingSave | None = None
        transaction: AsyncTransaction | None = None
        name, trail, positions = self._state.name, self._state.progress.trail, self._positions
        if positions.unconfirmed is not None and positions.unconfirmed.position < first:
            # That message was parked or skipped since.
            positions.unconfirmed = None
        problem: Exception
        self._is_in_handler = False
        try:
            await positions.resend_unconfirmed()
            async with open_transaction(self._client, self._options) as transaction:
                last_read = trail.find_message(last)
                if last_read is not None and last_read.position == last:
                    await check_message(
                        transaction, name, last_read, self._settings.category, trail
                    )
                position = await handle(transaction)
                if self._state.signals.is_cut_off:
                    raise claim_lost_error(name)
                last_read = trail.find_message(position)
                pending = await positions.save_in_transaction(transaction, position, last_read)
        except PositionConflictError as error:
            return await self._check_after_conflict(error)
        except LostHistoryError:
            raise
        except CANCELLED as error:
            if is_task_cancelled():
                raise
            problem = cancelled_dependency_error(error)
        except OutcomeUnknownError as error:
            if pending is not None:
                positions.unconfirmed = pending
            problem = error
        except psycopg.Error as error:
            if is_store_problem(error, transaction):
                self._store_problem = error
            problem = error
        except Exception as error:
            problem = error
        else:
            positions.mark_committed(pending)
            return None
        if not self._is_in_handler:
            self._own_problem = problem
        return await self._drop_if_committed(problem)

    async def _is_proxied(self) -> bool:
        return (await get_server(self._client)).is_proxied

    async def park(self, message: Message[Any], attempt: int, reason: str) -> None:
        """Park a message in the transaction of its position."""
        stream = self._settings.parked_stream

        async def write(transaction: AsyncTransaction) -> bool:
            # Through PL/Proxy it is committed before the position is. Its id is derived from the
            # message's, so that it is parked one time all the same.
            store = self._client if await self._is_proxied() else transaction
            await park(store, stream, self._id_namespace, message, reason, attempt)
            return True

        await self._store_with_position(message, write)

    async def park_in_stream(self, message: Message[Any], attempt: int, reason: str | None) -> bool:
        """Park a message that holds its stream, or one behind it, with its position."""
        holder = self._holder

        async def write(transaction: AsyncTransaction) -> bool:
            return await holder.park_in_transaction(transaction, message, reason, attempt)

        while True:
            try:
                is_parked = await self._store_with_position(message, write)
            except WrongExpectedVersionError as error:
                holder.note_conflict(error)
            else:
                if is_parked:
                    holder.note_parked(message)
                return is_parked

    async def park_behind(self, messages: list[Message[Any]]) -> bool:
        """Park the first message behind one of its stream, with its position."""
        return await self.park_in_stream(messages[0], 0, None)

    async def _store_with_position(
        self, message: Message[Any], write: AsyncUnaryFunction[AsyncTransaction, bool]
    ) -> bool:
        """Write in the transaction of a message's position; return what *write* returns.

        If that is False, the position is not stored.
        """
        positions = self._positions
        pending: PendingSave | None = None
        try:
            await positions.resend_unconfirmed()
            options = self._local_options if await self._is_proxied() else self._parking_options
            async with open_transaction(self._client, options) as transaction:
                if not await write(transaction):
                    return False
                position = message.global_position
                last_read = self._state.progress.trail.find_message(position)
                pending = await positions.save_in_transaction(transaction, position, last_read)
        except PositionConflictError as error:
            if await self._check_after_conflict(error) is not None:
                raise
        except OutcomeUnknownError as error:
            if pending is not None:
                positions.unconfirmed = pending
            if await self._drop_if_committed(error) is not None:
                raise
        else:
            positions.mark_committed(pending)
        return True

    def get_origin(self, problem: Exception) -> ProblemOrigin:
        """Return the origin of the last call's problem."""
        if problem is self._own_problem:
            return "consumer"
        return "store" if problem is self._store_problem else "handler"

    async def _check_after_conflict(self, error: PositionConflictError) -> Exception | None:
        problem = await self._drop_if_committed(error)
        if problem is error:
            raise error
        return problem

    async def _drop_if_committed(self, problem: Exception) -> Exception | None:
        """Return the problem; None if a COMMIT without a response was executed after all.

        If neither is known, the problem is that the store is unavailable.
        """
        unconfirmed = self._positions.unconfirmed
        if unconfirmed is None:
            return problem
        try:
            is_stored = await self._positions.is_stored(unconfirmed)
        except MessageDBError as error:
            if is_store_unavailable(error):
                self._own_problem = error
                return error
            raise
        return None if is_stored else problem

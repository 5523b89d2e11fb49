"""A replay of parked messages: those of a held stream in order, until one fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from messagedb._consumers.failure_policy import find_problem
from messagedb._consumers.failure_texts import format_reason
from messagedb._consumers.parked_messages import (
    REPLAYED,
    ParkedList,
    build_failure_record,
    build_resolution_record,
)
from messagedb._errors import HandlerError, MessageDBError, ValidationError
from messagedb._subscriptions.log_texts import format_error

from .context import AsyncBatchContext, AsyncContext
from .parking import AsyncRecordReader, get_parked_message
from .replay_lease import check_replay_lease, hold_replay_lease
from .run_state import log

if TYPE_CHECKING:
    from messagedb._consumers.handler_registry import Dispatch, HandlerCall
    from messagedb._consumers.parked_messages import ParkedMessage
    from messagedb._consumers.replay_plan import ReplayUnit
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._messages.message import Message

    from ..client_core.core import AsyncClientCore
    from ..operations.operations import AsyncOperations
    from .lease import AsyncLease


class AsyncReplay:
    """One replay.

    Args:
        client: the client of the handlers.
        settings: the consumer's.
        handlers: the handlers.
    """

    def __init__(
        self, client: AsyncClientCore, settings: ConsumerSettings, handlers: Dispatch
    ) -> None:
        self._client = client
        self._settings = settings
        self._handlers = handlers
        self._reader = AsyncRecordReader(settings.parked_stream)
        self._list = ParkedList()
        self._lease: AsyncLease | None = None

    async def run(self, units: list[ReplayUnit]) -> int:
        """Handle messages, and return how many were.

        Raises:
            HandlerError: a handler failed: of a held stream, when the others are done; otherwise
                at that message.
            ValidationError: a message has no handler, or is no longer in the store: likewise.
        """
        settings = self._settings
        needs_lease = not settings.transactional and any(each.message is None for each in units)
        if not needs_lease:
            return await self._run(units)
        async with hold_replay_lease(self._client, settings.parked_stream) as self._lease:
            return await self._run(units)

    async def _run(self, units: list[ReplayUnit]) -> int:
        count = 0
        failure: HandlerError | ValidationError | None = None
        for unit in units:
            if unit.message is not None:
                count += await self._replay(unit.message)
                continue
            try:
                count += await self._replay_stream(unit)
            except (HandlerError, ValidationError) as error:
                failure = failure or error
                log.warning(
                    "%s: stream %r is still held: %s",
                    self._settings.position_name,
                    unit.stream_name,
                    format_error(error),
                )
        if failure is not None:
            raise failure
        return count

    async def _replay_stream(self, unit: ReplayUnit) -> int:
        """Handle the messages of a held stream, also those that are parked behind meanwhile."""
        count = 0
        while True:
            await self._refresh(self._client)
            first = self._list.find_first(unit.stream_name)
            if first is None or not unit.includes(first):
                return count
            check_replay_lease(self._lease, self._settings.parked_stream)
            try:
                count += await self._replay(first)
            except HandlerError as error:
                await self._note_failure(first, error.reason)
                raise

    async def _note_failure(self, parked: ParkedMessage, reason: str) -> None:
        """Record why a replay failed, unless the store is unavailable."""
        try:
            await self._client.write_message(
                self._settings.parked_stream, build_failure_record(parked, reason)
            )
        except MessageDBError as error:
            log.warning(
                "%s: the failed replay of message %d of stream %r is not recorded: %s",
                self._settings.position_name,
                parked.position,
                parked.stream_name,
                format_error(error),
            )

    async def _refresh(self, store: AsyncOperations) -> None:
        async for record in self._reader.read(store):
            self._list.apply(record)

    async def _replay(self, parked: ParkedMessage) -> bool:
        """Handle a parked message; return True if it was handled, or was already off the list."""
        message = await get_parked_message(self._client, parked)
        by_type, catch_all, batches = self._handlers
        invoke = by_type.get(message.type, catch_all)
        if invoke is None:
            raise ValidationError(
                f"there is no handler here for message {message.position} of stream"
                f" {message.stream_name!r}, of type {message.type!r}. It stays parked."
            )
        try:
            return await self._handle(parked, message, invoke, invoke in batches)
        except Exception as error:
            if isinstance(error, HandlerError):
                raise
            raise HandlerError(
                self._settings.position_name,
                message.stream_name,
                message.position,
                message.global_position,
                message.type,
                1,
                format_reason(error),
                is_replay=True,
            ) from error

    async def _handle(
        self,
        parked: ParkedMessage,
        message: Message[Any],
        invoke: HandlerCall,
        is_batch: bool,
    ) -> bool:
        stream, id_namespace = self._settings.parked_stream, self._settings.id_namespace
        resolution = build_resolution_record(parked, REPLAYED)

        async def handle(store: AsyncOperations) -> None:
            context = (
                AsyncBatchContext([message], 1, store, id_namespace)
                if is_batch
                else AsyncContext(message, 1, store, id_namespace)
            )
            result = await invoke(context)
            if (problem := find_problem(result, is_batch=is_batch)) is not None:
                raise problem

        if not self._settings.transactional:
            await handle(self._client)
            await self._client.write_message(stream, resolution)
            return True
        async with self._client.transaction(
            timeout=self._settings.transaction_timeout, categories=[stream.partition("-")[0]]
        ) as transaction:
            if parked.holds_stream and not await self._is_first(transaction, parked):
                return False
            before = await transaction.stream_version(stream)
            if await transaction.write_message(stream, resolution) <= before:
                return False
            await handle(transaction)
        return True

    async def _is_first(self, transaction: AsyncOperations, parked: ParkedMessage) -> bool:
        """Return True if a message is still the first of its stream, under the lock of the list."""
        await self._refresh(transaction)
        first = self._list.find_first(parked.stream_name)
        return first is not None and first.id == parked.id

"""Operations on a consumer's parked messages: list, replay, discard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from messagedb._consumers.failure_policy import find_problem
from messagedb._consumers.failure_texts import format_reason
from messagedb._consumers.parked_messages import REPLAYED, ParkedMessage, build_resolution_record
from messagedb._errors import HandlerError, ValidationError
from messagedb._subscriptions.log_texts import format_value

from .context import AsyncBatchContext, AsyncContext
from .parking import discard, get_parked_message, list_parked

if TYPE_CHECKING:
    from messagedb._consumers.handler_registry import Dispatch, HandlerCall
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._messages.message import Message

    from ..client_core.core import AsyncClientCore
    from ..operations.operations import AsyncOperations


class AsyncParkedMessages:
    """The parked messages of a consumer, which all members of its group share."""

    def __init__(self, client: AsyncClientCore, settings: ConsumerSettings) -> None:
        self._client = client
        self._settings = settings

    async def list_all(self) -> list[ParkedMessage]:
        """List the parked messages, in the order of parking."""
        return await list_parked(self._client, self._settings.parked_stream)

    async def discard(self, parked: ParkedMessage | Iterable[ParkedMessage]) -> int:
        """Remove parked messages from the list without handling them; return how many."""
        selected = await self._select_current(parked)
        for message in selected:
            await discard(self._client, self._settings.parked_stream, message)
        return len(selected)

    async def replay(
        self, parked: ParkedMessage | Iterable[ParkedMessage] | None, handlers: Dispatch
    ) -> int:
        """Let handlers handle parked messages once more, and remove the handled ones.

        Args:
            parked: the messages; None for all.
            handlers: the handlers to call.

        Returns:
            How many were handled.

        Raises:
            HandlerError: a handler failed. The message stays parked, and those after it, too.
            ValidationError: a message has no handler, or is no longer in the store. It stays
                parked.
        """
        selected = await self._select_current(parked)
        by_type, catch_all, batches = handlers
        count = 0
        for each in selected:
            message = await get_parked_message(self._client, each)
            invoke = by_type.get(message.type, catch_all)
            if invoke is None:
                raise ValidationError(
                    f"there is no handler here for message {message.position} of stream"
                    f" {message.stream_name!r}, of type {message.type!r}. It stays parked."
                )
            try:
                count += await self._replay(each, message, invoke, invoke in batches)
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
        return count

    async def _select_current(
        self, parked: ParkedMessage | Iterable[ParkedMessage] | None
    ) -> list[ParkedMessage]:
        current = await self.list_all()
        if parked is None:
            return current
        ids = {each.id for each in current}
        return [each for each in _as_list(parked) if each.id in ids]

    async def _replay(
        self,
        parked: ParkedMessage,
        message: Message[Any],
        invoke: HandlerCall,
        is_batch: bool,
    ) -> bool:
        """Handle a parked message; return True if it was handled, or was already off the list."""
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
            before = await transaction.stream_version(stream)
            if await transaction.write_message(stream, resolution) <= before:
                return False
            await handle(transaction)
        return True


def _as_list(parked: ParkedMessage | Iterable[ParkedMessage]) -> list[ParkedMessage]:
    messages: Any = [parked] if isinstance(parked, ParkedMessage) else parked
    if not isinstance(messages, Iterable):
        raise ValidationError(
            f"pass messages from list_parked(), not {format_value(parked)}. Nothing was changed."
        )
    return list(cast("Iterable[ParkedMessage]", messages))

"""Operations on a consumer's parked messages: list, replay, discard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from messagedb._consumers.failure_policy import find_problem
from messagedb._consumers.failure_texts import format_reason
from messagedb._consumers.parked_messages import REPLAYED, ParkedMessage, build_resolution_record
from messagedb._errors import HandlerError, ValidationError
from messagedb._subscriptions.log_texts import format_value

from .context import AsyncContext
from .parking import discard, list_parked, message_of

if TYPE_CHECKING:
    from messagedb._consumers.handler_registry import Dispatch, HandlerCall
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._messages.message import Message

    from ..client_core.core import AsyncClientCore


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
        chosen = await self._still_parked(parked)
        for each in chosen:
            await discard(self._client, self._settings.parked_stream, each)
        return len(chosen)

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
        chosen = await self._still_parked(parked)
        by_type, catch_all = handlers
        count = 0
        for each in chosen:
            message = await message_of(self._client, each)
            invoke = by_type.get(message.type, catch_all)
            if invoke is None:
                raise ValidationError(
                    f"there is no handler here for message {message.position} of stream"
                    f" {message.stream_name!r}, of type {message.type!r}. It stays parked."
                )
            try:
                count += await self._replay(each, message, invoke)
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

    async def _still_parked(
        self, parked: ParkedMessage | Iterable[ParkedMessage] | None
    ) -> list[ParkedMessage]:
        current = await self.list_all()
        if parked is None:
            return current
        ids = {each.id for each in current}
        return [each for each in _chosen(parked) if each.id in ids]

    async def _replay(
        self, parked: ParkedMessage, message: Message[Any], invoke: HandlerCall
    ) -> bool:
        """Handle a parked message; return True if it was handled, or was already off the list."""
        stream, seed = self._settings.parked_stream, self._settings.id_namespace
        end = build_resolution_record(parked, REPLAYED)
        if not self._settings.transactional:
            result = await invoke(AsyncContext(message, 1, self._client, seed))
            if (problem := find_problem(result)) is not None:
                raise problem
            await self._client.write_message(stream, end)
            return True
        async with self._client.transaction(
            timeout=self._settings.transaction_timeout, categories=[stream.partition("-")[0]]
        ) as transaction:
            before = await transaction.stream_version(stream)
            if await transaction.write_message(stream, end) <= before:
                return False
            result = await invoke(AsyncContext(message, 1, transaction, seed))
            if (problem := find_problem(result)) is not None:
                raise problem
        return True


def _chosen(parked: ParkedMessage | Iterable[ParkedMessage]) -> list[ParkedMessage]:
    chosen: Any = [parked] if isinstance(parked, ParkedMessage) else parked
    if not isinstance(chosen, Iterable):
        raise ValidationError(
            f"pass messages from list_parked(), not {format_value(parked)}. Nothing was changed."
        )
    return list(cast("Iterable[ParkedMessage]", chosen))

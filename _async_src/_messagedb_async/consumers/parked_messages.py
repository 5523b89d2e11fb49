"""Operations on a consumer's parked messages: list, replay, discard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messagedb._consumers.replay_plan import parse_selection, plan_replay, select_parked
from messagedb._errors import ValidationError

from .parking import discard, list_parked
from .replay import AsyncReplay
from .replay_lease import check_replay_lease, hold_replay_lease

if TYPE_CHECKING:
    from collections.abc import Iterable

    from messagedb._consumers.handler_registry import Dispatch
    from messagedb._consumers.parked_messages import ParkedMessage
    from messagedb._consumers.replay_plan import Selection
    from messagedb._consumers.settings import ConsumerSettings

    from ..client_core.core import AsyncClientCore
    from .lease import AsyncLease


class AsyncParkedMessages:
    """The parked messages of a consumer, which all members of its group share."""

    def __init__(self, client: AsyncClientCore, settings: ConsumerSettings) -> None:
        self._client = client
        self._settings = settings

    async def list_all(self) -> list[ParkedMessage]:
        """List the parked messages, in the order of parking."""
        return await list_parked(self._client, self._settings.parked_stream)

    async def discard(
        self, parked: ParkedMessage | Iterable[ParkedMessage] | None, stream_name: str | None
    ) -> int:
        """Remove parked messages from the list without handling them; return how many.

        Raises:
            ValidationError: neither messages nor a stream are named, or both.
        """
        if parked is None and stream_name is None:
            raise ValidationError("pass messages or stream_name. Nothing was changed.")
        selection = parse_selection(parked, stream_name, None)
        selected = select_parked(await self.list_all(), selection)
        if self._settings.transactional or not any(each.holds_stream for each in selected):
            return await self._discard(selection, None)
        # A replay may be handling one of them: the next one is to wait for its end.
        name = self._settings.parked_stream
        async with hold_replay_lease(self._client, name) as lease:
            return await self._discard(selection, lease)

    async def _discard(self, selection: Selection, lease: AsyncLease | None) -> int:
        stream, count = self._settings.parked_stream, 0
        while selected := select_parked(await self.list_all(), selection):
            for each in selected:
                check_replay_lease(lease, stream)
                await discard(self._client, stream, each)
            count += len(selected)
            if selection.stream_name is None:
                break
        return count

    async def replay(
        self,
        parked: ParkedMessage | Iterable[ParkedMessage] | None,
        stream_name: str | None,
        until: int | None,
        handlers: Dispatch,
    ) -> int:
        """Let handlers handle parked messages once more, and remove the handled ones.

        Args:
            parked: the messages; None for all.
            stream_name: only those of this stream; None for all.
            until: only those up to this position of the stream; None for all.
            handlers: the handlers to call.

        Returns:
            How many were handled.

        Raises:
            HandlerError: a handler failed. The message stays parked.
            ValidationError: a message has no handler, is no longer in the store, or waits for
                another one. It stays parked.
        """
        selection = parse_selection(parked, stream_name, until)
        units = plan_replay(await self.list_all(), selection)
        return await AsyncReplay(self._client, self._settings, handlers).run(units)

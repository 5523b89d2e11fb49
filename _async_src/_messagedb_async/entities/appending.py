"""Events appended to an entity, if nobody wrote in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from messagedb.entities.cache import Entry
from messagedb.entities.commands import new_messages
from messagedb.errors import ValidationError, WrongExpectedVersionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from messagedb.entities.projection import Applier
    from messagedb.messages import Message, NewMessage

    from ..operations import AsyncOperations
    from .loading import AsyncLoader

S = TypeVar("S")


class Appended(msgspec.Struct, Generic[S], frozen=True):
    """What a write has made of an entity."""

    positions: tuple[int, ...]
    entry: Entry[S] | None
    """None where it has to be read: the messages were there before, or cannot be applied here."""


class AsyncAppender(Generic[S]):
    """Appends to the entities that a loader loads.

    Args:
        store: where it writes.
        loader: knows what is in memory.
        applier: makes states of events.
    """

    def __init__(self, store: AsyncOperations, loader: AsyncLoader[S], applier: Applier[S]) -> None:
        self._store = store
        self._loader = loader
        self._applier = applier

    def messages(
        self,
        id: str,
        events: Iterable[Any],
        following: Message[Any] | None,
        metadata: Mapping[str, Any] | msgspec.Struct | None,
    ) -> list[NewMessage]:
        """The messages to be written of some events.

        Raises:
            ValidationError: an event is of no registered class. Nothing was sent.
        """
        name = self._loader.stream_name(id)
        return new_messages(self._store.registry, events, name, following, metadata)

    def happen(self, state: S, events: Iterable[Any]) -> S:
        """The state after events that are not written yet; the given one stays as it is.

        Raises:
            ValidationError: an event is no instance of a registered class. Nothing was sent.
        """
        messages = new_messages(self._store.registry, events, "", None, None)
        if not self._applier.can_apply(messages):
            raise ValidationError(
                "an event of edit() must be an instance of a registered class, so that its state "
                "is known before it is written. Nothing was added."
            )
        return self._applier.apply_new(self._applier.own(state), messages)

    async def append(self, id: str, entry: Entry[S], messages: list[NewMessage]) -> Appended[S]:
        """Append messages to an entity at a version, and keep the state that they make of it."""
        new: Entry[S] | None = None
        if self._applier.can_apply(messages):
            state = self._applier.apply_new(self._applier.own(entry.entity), messages)
            new = Entry(state, entry.version + len(messages), entry.snapshot_version)
        try:
            positions = await self._write(self._loader.stream_name(id), messages, entry.version)
        except WrongExpectedVersionError as error:
            if error.actual_version < entry.version:
                # Messages were deleted, or a transaction was rolled back: what is known is wrong.
                self._loader.cache.forget(id)
            raise
        first = entry.version + 1
        if new is None or positions != list(range(first, first + len(messages))):
            return Appended(tuple(positions), None)
        self._loader.cache.put(id, new)
        return Appended(tuple(positions), new)

    async def _write(self, stream_name: str, messages: list[NewMessage], version: int) -> list[int]:
        if len(messages) > 1:
            return await self._store.write_messages(stream_name, messages, expected_version=version)
        position = await self._store.write_message(
            stream_name, messages[0], expected_version=version
        )
        return [position]

"""Events appended to an entity, if nobody wrote in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from messagedb._arguments import LAST_POSITION
from messagedb.entities.cache import Entry
from messagedb.entities.commands import as_stored, event_id, new_messages, stored_events
from messagedb.errors import WrongExpectedVersionError
from messagedb.messages import NewMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from messagedb.entities.projection import Applier
    from messagedb.messages import Message

    from ..operations import AsyncOperations
    from .loading import AsyncLoader

S = TypeVar("S")


class Cause(msgspec.Struct, frozen=True):
    """What events are written because of, and with."""

    following: Message[Any] | None
    name: str
    metadata: Mapping[str, Any] | msgspec.Struct | None


class Appended(msgspec.Struct, Generic[S], frozen=True):
    """What a write has made of an entity."""

    state: S
    version: int
    events: tuple[Any, ...]
    """As they are stored."""
    positions: tuple[int, ...]
    was_there: bool = False
    """Whether the same message was answered before."""


class AsyncAppender(Generic[S]):
    """Appends to the entities that a loader loads.

    What is in memory is never made of what is written, but of what is read: somebody else may have
    written under the same ids.

    Args:
        store: where it writes.
        loader: knows what is in memory.
        applier: makes states of events.
        batch_size: how many events are read at once.
    """

    def __init__(
        self,
        store: AsyncOperations,
        loader: AsyncLoader[S],
        applier: Applier[S],
        batch_size: int,
    ) -> None:
        self._store = store
        self._loader = loader
        self._applier = applier
        self._batch_size = batch_size

    def happen(self, id: str, state: S, events: Iterable[Any], first: int) -> S:
        """The state after events that are not written yet; the given one stays as it is.

        Raises:
            ValidationError: an event is of no registered class, or would not be stored as it is.
                Nothing was sent.
        """
        name = self._loader.stream_name(id)
        messages = new_messages(self._store.registry, events, name)
        self._applier.takes_raw(messages)
        return self._applier.apply(self._applier.own(state), self._as_stored(name, messages, first))

    async def append(
        self, id: str, entry: Entry[S], events: Iterable[Any], cause: Cause
    ) -> Appended[S]:
        """Append events to an entity at a version.

        Raises:
            WrongExpectedVersionError: somebody else wrote in between. Nothing was written.
        """
        name = self._loader.stream_name(id)
        messages = new_messages(
            self._store.registry, events, name, cause.following, cause.name, cause.metadata
        )
        raw = self._applier.takes_raw(messages)
        # Before the write: what cannot be made a state of is not written.
        made = self._as_stored(name, messages, entry.version + 1)
        state = self._applier.apply(self._applier.own(entry.entity), made)
        try:
            positions = await self._write(name, messages, entry.version)
        except WrongExpectedVersionError as error:
            if error.actual_version < entry.version:
                # Messages were deleted, or a transaction was rolled back: what is known is wrong.
                self._loader.cache.forget(id)
            elif error.actual_version == entry.version:
                # So nobody wrote in between: the first of the ids is there, and not all of them.
                stored = await self.find(id, cause)
                if stored:
                    return await self.before(id, stored)
            raise
        if cause.following is None and not raw:
            return Appended(state, positions[-1], self._decoded(made), tuple(positions))
        return await self._read_back(id, entry, positions)

    async def find(self, id: str, cause: Cause) -> list[Message[Any]]:
        """The events that the same message was answered with before; none for a new message."""
        if cause.following is None:
            return []
        name = self._loader.stream_name(id)
        # A write of an id that the stream has gives its position, whatever version is expected; of
        # another it fails, as no stream comes to this version.
        probe = NewMessage("Probed", id=event_id(cause.following, name, cause.name, 0))
        try:
            position = await self._store.write_message(name, probe, expected_version=LAST_POSITION)
        except WrongExpectedVersionError:
            return []
        page = await self._store.get_stream_messages(
            name, position=position, batch_size=self._batch_size
        )
        return stored_events(page, cause.following, name, cause.name)

    async def before(self, id: str, stored: list[Message[Any]]) -> Appended[S]:
        """What was written because of the same message before."""
        entry = await self._loader.current(id)
        positions = tuple(message.position for message in stored)
        return Appended(
            self._applier.own(entry.entity), entry.version, self._decoded(stored), positions, True
        )

    async def _read_back(self, id: str, entry: Entry[S], positions: list[int]) -> Appended[S]:
        first, last = positions[0], positions[-1]
        page = await self._store.get_stream_messages(
            self._loader.stream_name(id),
            position=first,
            batch_size=max(self._batch_size, last - first + 1),
        )
        stored = [message for message in page if message.position in positions]
        if first != entry.version + 1:
            return await self.before(id, stored)
        state = self._applier.apply(self._applier.own(entry.entity), page)
        new = Entry(state, page[-1].position, entry.snapshot_version)
        self._loader.cache.put(id, new)
        return Appended(
            self._applier.own(state), new.version, self._decoded(stored), tuple(positions)
        )

    def _as_stored(
        self, stream_name: str, messages: list[NewMessage], first: int
    ) -> list[Message[Any]]:
        store = self._store
        return as_stored(store.registry, messages, stream_name, first, store.decimals)

    def _decoded(self, messages: Iterable[Message[Any]]) -> tuple[Any, ...]:
        return tuple(self._store.registry.decode(message) for message in messages)

    async def _write(self, stream_name: str, messages: list[NewMessage], version: int) -> list[int]:
        if len(messages) > 1:
            return await self._store.write_messages(stream_name, messages, expected_version=version)
        position = await self._store.write_message(
            stream_name, messages[0], expected_version=version
        )
        return [position]

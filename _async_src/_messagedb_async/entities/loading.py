"""The state of entities: from memory, from a snapshot, and from the events after that."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from messagedb.entities.arguments import entity_stream
from messagedb.entities.cache import EntityCache, Entry
from messagedb.errors import MessageDecodeError
from messagedb.expected_version import NO_STREAM

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from messagedb.entities.projection import Applier
    from messagedb.entities.snapshots import Snapshots

    from ..operations import AsyncOperations

S = TypeVar("S")

log = logging.getLogger("messagedb.entities")


class AsyncLoader(Generic[S]):
    """Loads the entities of one category.

    Args:
        store: where it reads.
        category: of the entities' streams.
        applier: makes states of events.
        cache: what is in memory.
        snapshots: how they are stored, None for not at all.
        batch_size: how many events are read at once.
        stores_snapshots: whether it stores new ones.
    """

    def __init__(
        self,
        store: AsyncOperations,
        category: str,
        applier: Applier[S],
        cache: EntityCache[S],
        snapshots: Snapshots[S] | None,
        batch_size: int,
        stores_snapshots: bool,
    ) -> None:
        self._store = store
        self._category = category
        self._applier = applier
        self.cache = cache
        self._snapshots = snapshots
        self._batch_size = batch_size
        self._stores_snapshots = stores_snapshots and snapshots is not None

    def stream_name(self, id: str | UUID) -> str:
        """The stream of an entity.

        Raises:
            ValidationError: it is no id of an entity. Nothing was sent.
        """
        return entity_stream(self._category, id)

    async def current(self, id: str) -> Entry[S]:
        """The newest state, with nothing read twice. What it holds is shared: see ``own``."""
        stream_name = self.stream_name(id)
        times_forgotten = self.cache.times_forgotten
        entry = self.cache.get(id)
        if entry is None:
            entry = await self._from_start(id, stream_name, None)
        else:
            entry = await self._forward(entry, stream_name, None)
        if self._snapshots is not None and self._stores_snapshots:
            entry = await self._stored(self._snapshots, id, entry)
        self.cache.put(id, entry, times_forgotten)
        return entry

    async def as_of_version(self, id: str, version: int) -> Entry[S]:
        """The state up to an event, or the newest where there are fewer."""
        stream_name = self.stream_name(id)
        entry = self.cache.get(id)
        if entry is None or entry.version > version:
            return await self._from_start(id, stream_name, version)
        return await self._forward(entry, stream_name, version)

    async def as_of_time(self, id: str, time: datetime) -> Entry[S]:
        """The state before the first event that was written later than a time."""
        stream_name = self.stream_name(id)
        state, version = self._applier.initial(), NO_STREAM
        async for message in self._store.read_stream(stream_name, batch_size=self._batch_size):
            if message.time > time:
                break
            state = self._applier.apply(state, (message,))
            version = message.position
        return Entry(state, version)

    async def _from_start(self, id: str, stream_name: str, up_to: int | None) -> Entry[S]:
        """The state of what is in the store: the snapshot, and the events after it."""
        entry = await self._snapshot(id)
        if entry is not None and (up_to is None or entry.version <= up_to):
            loaded = await self._after_snapshot(entry, stream_name, up_to)
            if loaded is not None:
                return loaded
        # Nobody else has the initial state, and so it may be changed.
        return await self._read(Entry(self._applier.initial(), NO_STREAM), stream_name, up_to)

    async def _snapshot(self, id: str) -> Entry[S] | None:
        if self._snapshots is None:
            return None
        message = await self._store.get_last_stream_message(self._snapshots.stream_name(id))
        if message is None:
            return None
        try:
            return self._snapshots.entry_of(message, self.stream_name(id))
        except MessageDecodeError as error:
            log.warning("the snapshot is passed over, and all events are read: %s", error)
            return None

    async def _after_snapshot(
        self, entry: Entry[S], stream_name: str, up_to: int | None
    ) -> Entry[S] | None:
        """A snapshot and the events after it; None where its last event is not in the stream.

        Reading begins with that event, so that a stream that was emptied, or restored from an older
        backup, is told without a further question.
        """
        size = self._batch_size if up_to is None else min(self._batch_size, up_to - entry.version)
        page = await self._store.get_stream_messages(
            stream_name, position=entry.version, batch_size=size + 1
        )
        if not page or page[0].position != entry.version or entry.last_id not in (None, page[0].id):
            log.warning(
                "the snapshot of %s is of version %s, and its last event is not there in the "
                "stream: all events are read",
                stream_name,
                entry.version,
            )
            return None
        rest = page[1:]
        if rest:
            state = self._applier.apply(entry.entity, rest)
            entry = Entry(state, rest[-1].position, entry.snapshot_version, rest[-1].id)
        return entry if len(rest) < size else await self._read(entry, stream_name, up_to)

    async def _forward(self, entry: Entry[S], stream_name: str, up_to: int | None) -> Entry[S]:
        """A shared entity with the events after it."""
        return await self._read(entry, stream_name, up_to, shared=True)

    async def _read(
        self, entry: Entry[S], stream_name: str, up_to: int | None, *, shared: bool = False
    ) -> Entry[S]:
        size = self._batch_size
        while up_to is None or entry.version < up_to:
            if up_to is not None:
                size = min(size, up_to - entry.version)
            page = await self._store.get_stream_messages(
                stream_name, position=entry.version + 1, batch_size=size
            )
            if not page:
                break
            state = self._applier.own(entry.entity) if shared else entry.entity
            shared = False
            state = self._applier.apply(state, page)
            entry = Entry(state, page[-1].position, entry.snapshot_version, page[-1].id)
            if len(page) < size:
                break
        return entry

    async def _stored(self, snapshots: Snapshots[S], id: str, entry: Entry[S]) -> Entry[S]:
        """Store a snapshot if one is due. The entity is as good without it."""
        if not snapshots.is_due(entry.version, entry.snapshot_version):
            return entry
        try:
            message = snapshots.message_of(
                entry, self._applier.own, self.stream_name(id), decimals=self._store.decimals
            )
            await self._store.write_message(snapshots.stream_name(id), message)
        except Exception as error:  # also of the user's own encode
            log.warning(
                "the snapshot of %s could not be stored; that is tried again after %s more events: "
                "%s",
                self.stream_name(id),
                snapshots.interval,
                error,
            )
        return msgspec.structs.replace(entry, snapshot_version=entry.version)

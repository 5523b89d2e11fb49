"""Loading of entities: from the cache or a snapshot, and the events after it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from messagedb._entities.cache import CachedEntity, EntityCache
from messagedb._entities.validation import build_entity_stream_name
from messagedb._errors import LostHistoryError, MessageDecodeError
from messagedb.expected_version import NO_STREAM

from ..client_core.core import AsyncClientCore
from ..operations.internals import get_session_config, read_stream_page

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from messagedb._entities.projection import Projector
    from messagedb._entities.snapshots import SnapshotPolicy
    from messagedb._errors import WrongExpectedVersionError
    from messagedb._messages.message import Message

    from ..operations.operations import AsyncOperations

S = TypeVar("S")

log = logging.getLogger("messagedb.entities")


class AsyncLoader(Generic[S]):
    """Loads the entities of one category.

    Args:
        store: the client or transaction to read with.
        category: the category of the entities' streams.
        applier: derives the state from events.
        cache: the entities in memory.
        snapshots: the format of snapshots, None for no snapshots.
        batch_size: the number of events per read.
        stores_snapshots: store new snapshots, and not only read them.

    Attributes:
        cache: the entities in memory.
        decides_in_memory: True if commands are decided on them before the store is asked for newer
            events, and if events that were written are applied to them.
    """

    def __init__(
        self,
        store: AsyncOperations,
        category: str,
        applier: Projector[S],
        cache: EntityCache[S],
        snapshots: SnapshotPolicy[S] | None,
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
        # In a transaction the events may be rolled back, and hooks may change what is stored.
        hooks = get_session_config(store).settings.hooks
        self.decides_in_memory: bool = isinstance(store, AsyncClientCore) and not hooks

    def build_stream_name(self, id: str | UUID) -> str:
        """Return the stream of an entity.

        Raises:
            ValidationError: the id is invalid. Nothing was sent.
        """
        return build_entity_stream_name(self._category, id)

    def get_stream_name(self, id: str) -> str:
        """Return the stream of an entity whose id was checked."""
        return f"{self._category}-{id}"

    def get_written(self, id: str) -> CachedEntity[S] | None:
        """Return the entity in memory for a decision; None if it has to be loaded first."""
        entry = self.cache.get(id) if self.decides_in_memory else None
        if entry is None or self._is_snapshot_due(entry):
            return None
        return entry

    def forget_lost(
        self, id: str, entry: CachedEntity[S], error: WrongExpectedVersionError | LostHistoryError
    ) -> None:
        """Remove an entity from memory if a failed write shows that some of its events are gone."""
        if isinstance(error, LostHistoryError) or error.actual_version < entry.version:
            # Messages were deleted, or a transaction was rolled back: the cache is wrong.
            self.cache.evict(id)

    async def load_latest(self, id: str) -> CachedEntity[S]:
        """Return the newest state. It is shared: see ``own``. Only newer events are read."""
        stream_name = self.build_stream_name(id)
        eviction_count = self.cache.eviction_count
        entry = await self._catch_up(id, stream_name, None)
        if entry is None:
            eviction_count = self.cache.eviction_count
            entry = await self._load_from_store(id, stream_name, None)
        if self._snapshots is not None and self._is_snapshot_due(entry):
            entry = await self._store_snapshot(self._snapshots, id, entry)
        self.cache.put(id, entry, eviction_count)
        return entry

    async def load_version(self, id: str, version: int) -> CachedEntity[S]:
        """Return the state up to an event, or the newest state if there are fewer events."""
        stream_name = self.build_stream_name(id)
        cached = self.cache.get(id)
        if cached is None or cached.version > version:
            return await self._load_from_store(id, stream_name, version)
        entry = await self._catch_up(id, stream_name, version)
        return entry or await self._load_from_store(id, stream_name, version)

    async def load_at_time(self, id: str, time: datetime) -> CachedEntity[S]:
        """Return the state before the first event that was written later than a time."""
        stream_name = self.build_stream_name(id)
        state, version = self._applier.initial(), NO_STREAM
        async for message in self._store.read_stream(stream_name, batch_size=self._batch_size):
            if message.time > time:
                break
            state = self._applier.apply(state, (message,))
            version = message.position
        return CachedEntity(state, version)

    async def _load_from_store(
        self, id: str, stream_name: str, up_to: int | None
    ) -> CachedEntity[S]:
        """Load the state from the store: the snapshot, and the events after it."""
        entry = await self._load_snapshot(id)
        if entry is not None and (up_to is None or entry.version <= up_to):
            loaded = await self._apply_after_snapshot(entry, stream_name, up_to)
            if loaded is not None:
                return loaded
        while True:
            # The initial state is not shared, so it may be changed.
            initial = CachedEntity(self._applier.initial(), NO_STREAM)
            loaded = await self._read_to_end(initial, stream_name, up_to)
            if loaded is not None:
                return loaded

    async def _load_snapshot(self, id: str) -> CachedEntity[S] | None:
        if self._snapshots is None:
            return None
        message = await self._store.get_last_stream_message(self._snapshots.stream_name(id))
        if message is None:
            return None
        try:
            state, version, last_id = self._snapshots.parse_message(
                message, self.build_stream_name(id)
            )
        except MessageDecodeError as error:
            log.warning("the snapshot is ignored, and all events are read: %s", error)
            return None
        return CachedEntity(state, version, version, last_id)

    async def _apply_after_snapshot(
        self, entry: CachedEntity[S], stream_name: str, up_to: int | None
    ) -> CachedEntity[S] | None:
        """Load the events after a snapshot; None if its last event is not in the stream.

        Reading begins with that event, so a stream that was emptied, or restored from an older
        backup, is detected without another query.
        """
        size = self._batch_size if up_to is None else min(self._batch_size, up_to - entry.version)
        page, history = await self._read_page(stream_name, entry.version, size + 1)
        if not page or page[0].position != entry.version or entry.last_id not in (None, page[0].id):
            log.warning(
                "the snapshot of %s is of version %s, but its last event is not in the stream: all "
                "events are read",
                stream_name,
                entry.version,
            )
            return None
        rest = page[1:]
        entry = msgspec.structs.replace(entry, last_id=page[0].id, history=history)
        if rest:
            state = self._applier.apply(entry.entity, rest)
            entry = CachedEntity(
                state, rest[-1].position, entry.snapshot_version, rest[-1].id, history
            )
        return entry if len(rest) < size else await self._read_to_end(entry, stream_name, up_to)

    async def _catch_up(
        self, id: str, stream_name: str, up_to: int | None
    ) -> CachedEntity[S] | None:
        """Load the events after the cached entity; None if it is not cached.

        The result is also None if the store has lost its last event, in a failover or a restore.
        """
        entry = self.cache.get(id)
        if entry is None:
            return None
        loaded = await self._read_to_end(entry, stream_name, up_to, shared=True)
        if loaded is None:
            log.warning(
                "%s was read up to version %s, but its last event is not in the store any more: "
                "the store has lost messages, and all events are read",
                stream_name,
                entry.version,
            )
            self.cache.evict(id)
        return loaded

    async def _read_to_end(
        self, entry: CachedEntity[S], stream_name: str, up_to: int | None, *, shared: bool = False
    ) -> CachedEntity[S] | None:
        """Load the events after an entity; None if its last event is not in the store any more."""
        size = self._batch_size
        while up_to is None or entry.version < up_to:
            if up_to is not None:
                size = min(size, up_to - entry.version)
            page, history = await self._read_page(stream_name, entry.version + 1, size)
            if history != entry.history and entry.version >= 0:
                checked = await self._read_checked_page(entry, stream_name, size)
                if checked is None:
                    return None
                page, history = checked
            if page:
                state = self._applier.get_private_copy(entry.entity) if shared else entry.entity
                shared = False
                state = self._applier.apply(state, page)
                last = page[-1]
                entry = CachedEntity(state, last.position, entry.snapshot_version, last.id, history)
            elif history != entry.history:
                entry = msgspec.structs.replace(entry, history=history)
            if len(page) < size:
                break
        return entry

    async def _read_checked_page(
        self, entry: CachedEntity[S], stream_name: str, size: int
    ) -> tuple[list[Message[Any]], int] | None:
        """Read the page after an entity in another history; None if the entity's event is missing.

        The page begins with that event, so both are from the same server.
        """
        page, history = await self._read_page(stream_name, entry.version, size + 1)
        if not page or page[0].position != entry.version:
            return None
        if entry.last_id is not None and page[0].id != entry.last_id:
            return None
        return page[1:], history

    async def _read_page(
        self, stream_name: str, position: int, size: int
    ) -> tuple[list[Message[Any]], int]:
        return await read_stream_page(self._store, stream_name, position, size)

    def _is_snapshot_due(self, entry: CachedEntity[S]) -> bool:
        return (
            self._snapshots is not None
            and self._stores_snapshots
            and self._snapshots.is_due(entry.version, entry.snapshot_version)
        )

    async def _store_snapshot(
        self, snapshots: SnapshotPolicy[S], id: str, entry: CachedEntity[S]
    ) -> CachedEntity[S]:
        """Store a snapshot. An error does not affect the entity."""
        try:
            message = snapshots.build_message(
                entry.entity,
                entry.version,
                entry.last_id,
                self._applier.get_private_copy,
                self.build_stream_name(id),
                decimals=self._store.decimals,
            )
            await self._store.write_message(snapshots.stream_name(id), message)
        except Exception as error:  # Includes errors of the user's encode.
            log.warning(
                "the snapshot of %s could not be stored; the next attempt is after %s more events: "
                "%s",
                self.build_stream_name(id),
                snapshots.every_events,
                error,
            )
        return msgspec.structs.replace(entry, snapshot_version=entry.version)

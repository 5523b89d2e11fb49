"""Cache of the entities of a store. It evicts the least recently used entities."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from .._argument_checks import check_integer
from ..expected_version import NO_STREAM

S = TypeVar("S")


class CachedEntity(msgspec.Struct, Generic[S], frozen=True, gc=False):
    """An entity at a version. It is shared and must not be changed."""

    entity: S
    version: int
    """The position of the entity's last event, ``NO_STREAM`` if it has no events."""
    snapshot_version: int = NO_STREAM
    """The version of the newest known snapshot."""
    last_id: UUID | None = None
    """The id of the entity's last event; None if it has no events or the id is not known."""
    history: int = 0
    """The number of the history that the events were read or written in; 0 if it is not known."""

    def is_same(self, other: CachedEntity[S]) -> bool:
        """Return True if both are of the same events."""
        return self.version == other.version and self.last_id == other.last_id


class EntityCache(Generic[S]):
    """Entries by id, with a maximum size. Threads may share a cache.

    Args:
        size: the maximum number of entries; 0 stores nothing.
        parent: a cache to read entries from that this one does not have; it is never modified.
    """

    def __init__(self, size: int, parent: EntityCache[S] | None = None) -> None:
        check_integer("cache_size", size, least=0)
        self._size = size
        self._parent = parent
        self._entries: OrderedDict[str, CachedEntity[S]] = OrderedDict()
        self._evicted_ids: set[str] = set()
        self._eviction_count = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of entities in this cache."""
        return len(self._entries)

    def get(self, id: str) -> CachedEntity[S] | None:
        """Return the newest entry of an entity, None if there is none."""
        with self._lock:
            entry = self._entries.get(id)
            if entry is not None:
                self._entries.move_to_end(id)
                return entry
            if self._parent is None or id in self._evicted_ids:
                return None
        return self._parent.get(id)

    @property
    def eviction_count(self) -> int:
        """The number of calls of ``evict`` so far. Read it before you read an entry to ``put``."""
        return self._eviction_count

    def put(self, id: str, entry: CachedEntity[S], eviction_count: int) -> None:
        """Store an entry, unless a newer one is stored or ``evict`` was called since the read.

        State that was read while messages were being deleted may contain some of them.
        """
        with self._lock:
            if eviction_count != self._eviction_count:
                return
            known = self._entries.get(id)
            if known is not None and known.version > entry.version:
                return
            self._entries[id] = entry
            self._entries.move_to_end(id)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def evict(self, id: str | None = None) -> None:
        """Remove the entry of an entity, or all entries."""
        with self._lock:
            self._eviction_count += 1
            if id is None:
                self._entries.clear()
                self._parent = None
            else:
                self._entries.pop(id, None)
                if self._parent is not None:
                    self._evicted_ids.add(id)

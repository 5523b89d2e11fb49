"""The entities that a store has in memory: the least recently used go first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from .._argument_checks import check_integer
from ..expected_version import NO_STREAM

S = TypeVar("S")


class Entry(msgspec.Struct, Generic[S], frozen=True, gc=False):
    """An entity at a version. Nobody changes what it holds."""

    entity: S
    version: int
    """The position of the last event in it, ``NO_STREAM`` for none."""
    snapshot_version: int = NO_STREAM
    """The version of the newest snapshot that is known of."""
    last_id: UUID | None = None
    """The id of the last event in it; None for none, and where it is not known."""
    history: int = 0
    """The number of the history that its events were read in; 0 where it is not known."""


class EntityCache(Generic[S]):
    """Entries by id, up to a number of them. Threads may share it.

    Args:
        size: how many; 0 for none at all.
        under: read where there is none of one's own, and never written.
    """

    def __init__(self, size: int, under: EntityCache[S] | None = None) -> None:
        check_integer("cache_size", size, least=0)
        self._size = size
        self._under = under
        self._entries: OrderedDict[str, Entry[S]] = OrderedDict()
        self._forgotten: set[str] = set()
        self._times_forgotten = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many entities it has."""
        return len(self._entries)

    def get(self, id: str) -> Entry[S] | None:
        """The newest entry of an entity, None where there is none."""
        with self._lock:
            entry = self._entries.get(id)
            if entry is not None:
                self._entries.move_to_end(id)
                return entry
            if self._under is None or id in self._forgotten:
                return None
        return self._under.get(id)

    @property
    def times_forgotten(self) -> int:
        """How often something was dropped: asked before an entry is read that is to be kept."""
        return self._times_forgotten

    def put(self, id: str, entry: Entry[S], times_forgotten: int) -> None:
        """Keep an entry, unless a newer one is there, or it was read before something was dropped.

        What is read while messages are deleted may hold some of them.
        """
        with self._lock:
            if times_forgotten != self._times_forgotten:
                return
            known = self._entries.get(id)
            if known is not None and known.version > entry.version:
                return
            self._entries[id] = entry
            self._entries.move_to_end(id)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def forget(self, id: str | None = None) -> None:
        """Drop the entry of an entity, or all."""
        with self._lock:
            self._times_forgotten += 1
            if id is None:
                self._entries.clear()
                self._under = None
            else:
                self._entries.pop(id, None)
                if self._under is not None:
                    self._forgotten.add(id)

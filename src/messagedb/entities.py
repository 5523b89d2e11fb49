"""Entities: states made of events, decisions that append events, and snapshots."""

from __future__ import annotations

from _messagedb_async.entities.edit_session import AsyncEntityEdit

from ._entities.decider import Evolve
from ._entities.projection import apply
from ._entities.results import LoadedEntity, TransactResult
from ._entities.snapshots import SnapshotPolicy
from ._sync.entities.edit_session import EntityEdit

__all__ = [
    "AsyncEntityEdit",
    "EntityEdit",
    "Evolve",
    "LoadedEntity",
    "SnapshotPolicy",
    "TransactResult",
    "apply",
]

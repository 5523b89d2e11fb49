"""Entities: states made of events, decisions that append events, and snapshots."""

from __future__ import annotations

from ._entities.projection import apply
from ._entities.results import LoadedEntity, TransactResult
from ._entities.snapshots import SnapshotPolicy

__all__ = [
    "LoadedEntity",
    "SnapshotPolicy",
    "TransactResult",
    "apply",
]

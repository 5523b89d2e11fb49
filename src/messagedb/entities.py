"""What entities take and return beside the classes at the top."""

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

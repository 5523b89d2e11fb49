"""Entities: their state from events, decisions, snapshots. No I/O: see ``EntityStore``."""

from __future__ import annotations

from ._entities.decider import Decider
from ._entities.projection import Projection, apply
from ._entities.results import LoadedEntity, TransactResult
from ._entities.snapshots import SnapshotPolicy

__all__ = ["Decider", "LoadedEntity", "Projection", "SnapshotPolicy", "TransactResult", "apply"]

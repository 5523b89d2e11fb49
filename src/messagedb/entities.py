"""Entities: their state from events, decisions, snapshots. No I/O: see ``EntityStore``."""

from __future__ import annotations

from ._entities.decider import Decider
from ._entities.projection import Projection, applies
from ._entities.results import Loaded, Transacted
from ._entities.snapshots import Snapshots

__all__ = ["Decider", "Loaded", "Projection", "Snapshots", "Transacted", "applies"]

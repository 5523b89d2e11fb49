"""Entities: their state from events, decisions, snapshots. No I/O: see ``EntityStore``."""

from __future__ import annotations

from .decider import Decider
from .projection import Projection, applies
from .results import Loaded, Transacted
from .snapshots import Snapshots

__all__ = ["Decider", "Loaded", "Projection", "Snapshots", "Transacted", "applies"]

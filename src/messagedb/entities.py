"""Entities: states made of events, decisions that append events, and snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _public_names
from ._entities.decider import Evolve
from ._entities.projection import apply
from ._entities.results import LoadedEntity, TransactResult
from ._entities.snapshots import SnapshotPolicy

if TYPE_CHECKING:
    from _messagedb_async.public_names import AsyncEntityEdit

    from ._sync.public_names import EntityEdit
else:
    __getattr__, __dir__ = _public_names.load_variants_later(__name__)

__all__ = [
    "AsyncEntityEdit",
    "EntityEdit",
    "Evolve",
    "LoadedEntity",
    "SnapshotPolicy",
    "TransactResult",
    "apply",
]

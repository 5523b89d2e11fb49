"""Read models: names of their versions, and what tells them apart. No I/O: see ``ReadModel``."""

from __future__ import annotations

from ._read_models.naming import ReadModelVersion

__all__ = ["ReadModelVersion"]

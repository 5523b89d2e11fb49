"""Read models: names of their versions, and what tells them apart. No I/O: see ``ReadModel``."""

from __future__ import annotations

from .names import ReadModelVersion

__all__ = ["ReadModelVersion"]

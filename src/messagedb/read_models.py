"""Versions of read models. No I/O: see ``ReadModel``."""

from __future__ import annotations

from ._read_models.naming import ReadModelVersion

__all__ = ["ReadModelVersion"]

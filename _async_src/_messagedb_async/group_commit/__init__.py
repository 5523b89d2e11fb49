"""Group commit: writes that are in flight simultaneously share a transaction."""

from __future__ import annotations

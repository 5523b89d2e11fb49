"""State from events, decisions, caches and snapshots. No I/O."""

from __future__ import annotations

"""Entities: their state is derived from events, and commands add events."""

from __future__ import annotations

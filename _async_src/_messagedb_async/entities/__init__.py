"""Entities: their state made of events, and commands answered with events."""

from __future__ import annotations

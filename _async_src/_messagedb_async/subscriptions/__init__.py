"""Feeds of messages, and subscribe()."""

from __future__ import annotations

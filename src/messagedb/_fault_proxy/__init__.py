"""A TCP proxy in front of PostgreSQL that causes faults on command: see messagedb.testing."""

from __future__ import annotations

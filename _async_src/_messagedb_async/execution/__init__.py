"""How an operation runs on a connection."""

from __future__ import annotations

"""The SQL statements that the client sends."""

from __future__ import annotations

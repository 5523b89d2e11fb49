"""Names of a read model's tables, and what a database has of them. No I/O."""

from __future__ import annotations

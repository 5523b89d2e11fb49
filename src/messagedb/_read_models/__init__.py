"""Names of a read model's tables, and what a database contains of them. No I/O."""

from __future__ import annotations

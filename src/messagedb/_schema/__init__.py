"""SQL that installs, upgrades and removes our schema, and what a database has of it. No I/O."""

from __future__ import annotations

"""SQL that installs, upgrades and removes the library's schemas, and their inspection. No I/O."""

from __future__ import annotations

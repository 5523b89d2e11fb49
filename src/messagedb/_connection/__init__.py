"""Connection settings, facts about the server, and the mapping of its errors. No I/O."""

from __future__ import annotations

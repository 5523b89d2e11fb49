"""The guard before all pages, and the end of a session."""

from __future__ import annotations

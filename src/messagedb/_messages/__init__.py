"""Messages, their data and metadata, the registry of their types, and JSON. No I/O."""

from __future__ import annotations

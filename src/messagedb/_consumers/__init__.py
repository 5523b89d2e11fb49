"""Settings, handlers, failure policy, positions and status of consumers. No I/O."""

from __future__ import annotations

"""Gaps, polling, backoff, and what was read last. No I/O."""

from __future__ import annotations

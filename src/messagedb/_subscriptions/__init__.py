"""Gaps, polling, backoff, and recently read messages. No I/O."""

from __future__ import annotations

"""Requests and results of the core operations. No I/O."""

from __future__ import annotations

"""Core operations and scans, independent of the connection that executes them."""

from __future__ import annotations

"""The core operations and scans, whatever runs them."""

from __future__ import annotations

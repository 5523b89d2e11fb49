"""HTML of the UI: templates, numbers, times, JSON."""

from __future__ import annotations

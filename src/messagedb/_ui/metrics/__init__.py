"""The metrics of a store, for Prometheus."""

from __future__ import annotations

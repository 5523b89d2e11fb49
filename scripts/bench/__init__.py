"""Benchmarks of messagedb beside its rivals, on the same server and with the same payload."""

from __future__ import annotations

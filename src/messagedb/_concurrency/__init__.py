"""Locks, events, tasks and signals: one module for each variant, with the same names."""

from __future__ import annotations

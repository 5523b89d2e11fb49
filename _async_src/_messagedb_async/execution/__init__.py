"""Execution of operations on a connection."""

from __future__ import annotations

"""Shared by the tests: the server that they run on, and small helpers."""

from __future__ import annotations

"""Helpers for users' tests that write and read."""

from __future__ import annotations

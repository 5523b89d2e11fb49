"""Helpers for users' tests that write to a store and read from it."""

from __future__ import annotations

"""A mixed load for minutes, in which nothing may grow."""

from __future__ import annotations

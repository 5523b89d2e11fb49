"""Cause and effect: the messages that led to a message or followed from it."""

from __future__ import annotations

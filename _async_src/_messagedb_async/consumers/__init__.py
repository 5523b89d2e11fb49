"""Consumers: they read without end, and deliver messages to handlers."""

from __future__ import annotations

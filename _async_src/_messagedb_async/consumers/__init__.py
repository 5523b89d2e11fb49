"""Consumers: the part of the async half that reads on and on, and hands messages to handlers."""

from __future__ import annotations

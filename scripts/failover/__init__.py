"""Failovers under load, and what they lose."""

from __future__ import annotations

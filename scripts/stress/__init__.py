"""Loads beyond what a service is built for, and what they lose."""

from __future__ import annotations

"""Helpers of the long trials: their servers, both variants of the client, and their figures."""

from __future__ import annotations

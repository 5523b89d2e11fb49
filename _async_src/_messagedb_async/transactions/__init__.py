"""Transactions, bound clients, and the outcome of a COMMIT without an answer."""

from __future__ import annotations

"""Transactions, bound clients, and the outcome of a COMMIT without a response."""

from __future__ import annotations

"""The base of consumers: pooled operations, scans, transactions and subscriptions."""

from __future__ import annotations

"""What consumers are built on: pooled operations, scans, transactions and subscriptions."""

from __future__ import annotations

"""Read models: their tables, and the consumer that updates them."""

from __future__ import annotations

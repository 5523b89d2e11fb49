"""Read models: their tables, and the consumer that fills them."""

from __future__ import annotations

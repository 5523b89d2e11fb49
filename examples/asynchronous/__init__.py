"""Examples with AsyncClient; those in the folder synchronous are made from them."""

from __future__ import annotations

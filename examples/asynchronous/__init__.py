"""Examples with AsyncClient; those in the folder synchronous are generated from them."""

from __future__ import annotations

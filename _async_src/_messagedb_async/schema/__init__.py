"""Install, upgrade and remove our schema."""

from __future__ import annotations

"""Stream names and consumer groups, computed here as the server's own functions compute them."""

from __future__ import annotations

from .hashing import group_member, hash_64
from .stream_name import (
    base_category,
    cardinal_id,
    category,
    category_types,
    id,
    ids,
    is_category,
    stream_name,
)

__all__ = [
    "base_category",
    "cardinal_id",
    "category",
    "category_types",
    "group_member",
    "hash_64",
    "id",
    "ids",
    "is_category",
    "stream_name",
]

"""Stream names and consumer groups, computed in the same way as by the server's functions."""

from __future__ import annotations

from .casing import camel, underscore
from .component import Category, position_stream_name, snapshot_stream_name
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
    "Category",
    "base_category",
    "camel",
    "cardinal_id",
    "category",
    "category_types",
    "group_member",
    "hash_64",
    "id",
    "ids",
    "is_category",
    "position_stream_name",
    "snapshot_stream_name",
    "stream_name",
    "underscore",
]

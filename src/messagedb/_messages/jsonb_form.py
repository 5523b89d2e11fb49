"""The form in which PostgreSQL returns JSON that it has stored as jsonb."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

import msgspec

from .json_objects import decode_object


def normalize(text: str, *, decimals: bool) -> str:
    """Return encoded data with the keys of objects in the order in which they are read back.

    The store orders the keys of an object by length, then by their bytes, and has no negative zero.

    Args:
        text: the data as ``encode_object`` returns them.
        decimals: True if fractions are read as Decimals.
    """
    tree = _normalize(decode_object(text, decimals=decimals))
    return msgspec.json.encode(tree).decode()


def _normalize(tree: Any) -> Any:
    kind = tree.__class__
    if kind is dict:
        fields = cast("dict[str, Any]", tree)
        return {key: _normalize(fields[key]) for key in sorted(fields, key=_get_place)}
    if kind is list:
        return [_normalize(child) for child in tree]
    if kind is float:
        return tree + 0.0
    if kind is Decimal:
        digits = format(tree if tree else abs(tree), "f")
        return msgspec.Raw((digits if "." in digits else digits + ".0").encode())
    return tree


def _get_place(key: str) -> tuple[int, bytes]:
    encoded = key.encode()
    return len(encoded), encoded

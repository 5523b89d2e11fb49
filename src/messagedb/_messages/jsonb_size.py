"""How large a JSON text is at least as PostgreSQL's jsonb, which takes less than 256 MB."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from .._errors import ValidationError

LARGEST: Final = 0x0FFFFFFF
"""Bytes of a jsonb value: what its offsets can hold."""

# A message of the protocol between client and server is smaller than 1 GB.
_LARGEST_TEXT: Final = 1_000_000_000

# Bytes of one character of UTF-8 at most.
_WIDEST: Final = 4
# A number is stored with its own header, each member of a container with an entry.
_NUMBER: Final = 6
_ENTRY: Final = 4

_decode = msgspec.json.Decoder[Any](float_hook=float).decode


def check_size(text: str | None, what: str, *, largest: int = LARGEST) -> None:
    """Refuse a JSON text that PostgreSQL would refuse for its size, before it is sent.

    Escapes are shorter as jsonb, so that a text may be longer than what it becomes; what only the
    server can tell is left to it.

    Args:
        text: JSON.
        what: what to call it in an error.
        largest: bytes of jsonb.

    Raises:
        ValidationError: it is too large. Nothing was sent.
    """
    if text is None or len(text) * _WIDEST <= largest:
        return
    size = len(text) if text.isascii() else len(text.encode())
    if size <= largest:
        return
    if size > _LARGEST_TEXT or least_size(text, largest) > largest:
        raise ValidationError(
            f"{what} is larger than PostgreSQL takes: {size:,} bytes of JSON, and jsonb holds "
            f"{largest:,}. Nothing was sent. Keep it elsewhere, and write where it is."
        )


def least_size(text: str, enough: int) -> int:
    """The bytes that a JSON text takes as jsonb at least; counted until it is more than enough."""
    total = 0
    left: list[Any] = [_decode(text)]
    while left and total <= enough:
        value = left.pop()
        kind = value.__class__
        if kind is dict:
            members = cast("dict[str, Any]", value)
            total += _ENTRY * (1 + 2 * len(members)) + sum(map(_length, members))
            left.extend(members.values())
        elif kind is list:
            total += _ENTRY * (1 + len(value))
            left.extend(value)
        elif kind is str:
            total += _length(value)
        elif kind is int or kind is float:
            total += _NUMBER
    return total


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())

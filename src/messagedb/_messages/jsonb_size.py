"""The least size of JSON as PostgreSQL's jsonb, which must be smaller than 256 MB."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from .._errors import ValidationError

MAX_JSONB_BYTES: Final = 0x0FFFFFFF
"""The most bytes of a jsonb value: the limit of its offsets."""

# A message of the protocol between client and server is smaller than 1 GB.
_MAX_JSON_BYTES: Final = 1_000_000_000

# The most bytes of one character in UTF-8.
_MAX_CHARACTER_BYTES: Final = 4
# A number is stored with its own header, each member of a container with an entry.
_NUMBER_BYTES: Final = 6
_ENTRY_BYTES: Final = 4

SURELY_FITS: Final = MAX_JSONB_BYTES // _MAX_CHARACTER_BYTES
"""Characters of a JSON text that is no larger as jsonb than PostgreSQL takes."""

_decode = msgspec.json.Decoder[Any](float_hook=float).decode


def check_size(text: str | None, label: str, *, max_bytes: int = MAX_JSONB_BYTES) -> None:
    """Refuse JSON that PostgreSQL would refuse for its size, before it is sent.

    Escapes are shorter in jsonb, so the JSON may be longer than its jsonb; if only the server can
    determine the size, it is sent.

    Args:
        text: JSON.
        label: its name in an error.
        max_bytes: bytes of jsonb.

    Raises:
        ValidationError: it is too large. Nothing was sent.
    """
    if text is None or len(text) * _MAX_CHARACTER_BYTES <= max_bytes:
        return
    size = len(text) if text.isascii() else len(text.encode())
    if size <= max_bytes:
        return
    if size > _MAX_JSON_BYTES or compute_min_size(text, max_bytes) > max_bytes:
        raise ValidationError(
            f"{label} is larger than PostgreSQL allows: {size:,} bytes of JSON, and jsonb holds "
            f"{max_bytes:,}. Nothing was sent. Store it elsewhere, and write a reference to it."
        )


def compute_min_size(text: str, enough: int) -> int:
    """Return the least bytes of JSON as jsonb; stop counting when there are more than *enough*."""
    total = 0
    left: list[Any] = [_decode(text)]
    while left and total <= enough:
        value = left.pop()
        kind = value.__class__
        if kind is dict:
            members = cast("dict[str, Any]", value)
            total += _ENTRY_BYTES * (1 + 2 * len(members)) + sum(map(_count_bytes, members))
            left.extend(members.values())
        elif kind is list:
            total += _ENTRY_BYTES * (1 + len(value))
            left.extend(value)
        elif kind is str:
            total += _count_bytes(value)
        elif kind is int or kind is float:
            total += _NUMBER_BYTES
    return total


def _count_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())

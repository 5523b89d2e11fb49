"""The streams that this library and Eventide write for their own bookkeeping."""

from __future__ import annotations

from typing import Final

from .component import typed_stream_name

POSITION: Final = "position"
_PARKED: Final = "parked"
_OWN: Final = frozenset({POSITION, _PARKED})


def parked_stream_name(category: str, identifier: str | None) -> str:
    """Return the stream of the parked messages of a consumer, and of all members of its group."""
    return typed_stream_name(category, _PARKED, identifier)


def is_bookkeeping(stream_name: str) -> bool:
    """Return True for a stream of positions: bookkeeping of Eventide's or our consumers."""
    category = stream_name.partition("-")[0]
    _, colon, types = category.partition(":")
    return bool(colon) and POSITION in types.split("+")


def is_own(stream_name: str) -> bool:
    """Return True for a stream of this library's bookkeeping: of positions or parked messages."""
    category = stream_name.partition("-")[0]
    _, colon, types = category.partition(":")
    return bool(colon) and not _OWN.isdisjoint(types.split("+"))

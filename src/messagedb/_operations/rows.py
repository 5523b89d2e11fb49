"""Conversion of a result's rows to messages."""

from __future__ import annotations

from functools import partial
from itertools import starmap
from typing import TYPE_CHECKING, Any

from .._messages.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterable


def parse_messages(rows: Iterable[tuple[Any, ...]], decimals: bool) -> list[Message[Any]]:
    """Return the messages of the rows, undecoded: each property decodes on access."""
    if decimals:
        return list(starmap(partial(Message, _decimals=True), rows))
    return list(starmap(Message, rows))

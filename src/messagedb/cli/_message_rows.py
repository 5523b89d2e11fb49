"""Messages as rows of the output: what a person sees in columns, and what a pipe gets."""

from __future__ import annotations

from typing import Any

from messagedb import Message, MessageDecodeError

COLUMNS = ("global_position", "stream_name", "position", "time", "type", "data")
"""The columns of messages on a terminal."""


def row_of(message: Message[Any]) -> dict[str, Any]:
    """A message as a row. What of it cannot be decoded is None, and the reason is its ``error``."""
    row: dict[str, Any] = {
        "global_position": message.global_position,
        "stream_name": message.stream_name,
        "position": message.position,
        "type": message.type,
    }
    errors: list[str] = []
    for name in ("id", "time", "data", "metadata"):
        try:
            row[name] = getattr(message, name)
        except MessageDecodeError as error:
            row[name] = None
            errors.append(str(error))
    if errors:
        row["error"] = "; ".join(errors)
    return row

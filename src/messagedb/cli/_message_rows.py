"""Messages as rows of the output: columns for a terminal, all fields for a pipe."""

from __future__ import annotations

from typing import Any

from messagedb import Message, MessageDecodeError

from ._layout import Column, Row


def name_message(row: Row) -> str:
    """Return the name of a message for a person, as ``trace`` takes it: ``account-123/4``."""
    return f"{row['stream_name']}/{row['position']}"


COLUMNS = (
    "global_position",
    Column("stream_name", "message", name_message),
    "time",
    "type",
    "data",
)
"""Columns of messages on a terminal."""


def build_message_row(message: Message[Any]) -> dict[str, Any]:
    """Return a message as a row; a field that cannot be decoded is None, and ``error`` says why."""
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

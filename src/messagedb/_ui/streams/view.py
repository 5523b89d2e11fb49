"""The contents of the pages of categories and streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ..failures import PageError
from ..rendering.json_text import redact_text
from .queries import PREVIEW, MessageRow, StreamEnd

REDACTED_CHARACTERS: Final = 200_000
"""Characters that are read of the data of a row if it has to be redacted as a whole."""


class ShownRow(msgspec.Struct, frozen=True):
    """A row of a list of messages, and the part of its data that is shown."""

    message: MessageRow
    preview: str


class Pages(msgspec.Struct, frozen=True):
    """The positions that the buttons of a stream lead to; None if a button leads nowhere.

    Attributes:
        older: the page that ends at this position.
        newer: the page that begins at this position.
        has_newest: whether the page shows the newest message.
        has_oldest: whether the page shows the oldest message.
    """

    older: int | None
    newer: int | None
    has_newest: bool
    has_oldest: bool


def build_rows(
    messages: Sequence[MessageRow], redact: Callable[[str, Any], Any] | None
) -> list[ShownRow]:
    """Return the rows of a list, with the first characters of the data."""
    return [ShownRow(message, _build_preview(message, redact)) for message in messages]


def choose_characters(redact: Callable[[str, Any], Any] | None) -> int:
    """Return how many characters of the data have to be read for a row."""
    return PREVIEW + 1 if redact is None else REDACTED_CHARACTERS


def build_pages(
    messages: Sequence[MessageRow], first: StreamEnd | None, last: StreamEnd | None
) -> Pages:
    """Return the positions of the pages beside one of a stream, whose newest message is first."""
    if not messages or first is None or last is None:
        return Pages(None, None, True, True)
    newest, oldest = messages[0].position, messages[-1].position
    has_newest, has_oldest = newest >= last.position, oldest <= first.position
    return Pages(
        None if has_oldest else oldest - 1,
        None if has_newest else newest + 1,
        has_newest,
        has_oldest,
    )


def parse_when(text: str) -> datetime:
    """Return the time that a reader entered, in UTC unless it names another zone.

    Raises:
        PageError: it is not a time.
    """
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise PageError(
            400, f"{text!r:.80} is not a time such as 2026-12-01T15:30", "Times are in UTC."
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _build_preview(message: MessageRow, redact: Callable[[str, Any], Any] | None) -> str:
    if message.size is None:
        return ""
    is_cut = redact is not None and len(message.text or "") >= REDACTED_CHARACTERS
    if message.text is None or is_cut:
        return "(large)"
    text = redact_text(message.text, message.type, redact) or ""
    return text if len(text) <= PREVIEW else text[:PREVIEW] + "…"

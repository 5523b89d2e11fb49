"""Parked messages that an address or a form names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import msgspec

from ..failures import PageError

LAST: Final = 2**63 - 1


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Parked messages of one stream of them: those that all of its conditions name.

    Attributes:
        stream: the stream of the parked messages.
        of: the stream of the messages themselves; "" for all.
        type: the type of the message; "" for all.
        error: the class of the error; "" for all.
        up_to: the position of the last record in that stream; None for all.
        id: the id of one record; None for all.
        is_redacted: whether only the classes of errors may be seen, and no word of a handler.
    """

    stream: str
    of: str = ""
    type: str = ""
    error: str = ""
    up_to: int | None = None
    id: UUID | None = None
    is_redacted: bool = False

    def to_fields(self) -> dict[str, str]:
        """Return it as the parameters of an address or the fields of a form."""
        given = {
            "stream": self.stream,
            "of": self.of,
            "type": self.type,
            "error": self.error,
            "up_to": "" if self.up_to is None else str(self.up_to),
            "id": "" if self.id is None else str(self.id),
        }
        return {name: value for name, value in given.items() if value}

    def describe(self) -> str:
        """Return what it selects, in words."""
        if self.id is not None:
            return "one parked message"
        words = ["parked messages"]
        if self.of:
            words.append(f"of stream {self.of}")
        if self.type:
            words.append(f"of type {self.type}")
        if self.error:
            words.append(f"with {self.error}")
        if self.up_to is not None:
            words.append(f"up to record {self.up_to:,}")
        return " ".join(words) if len(words) > 1 else "all parked messages"


def parse_selection(fields: Mapping[str, str], *, is_redacted: bool = False) -> Selection:
    """Return the selection of an address or a form.

    Raises:
        PageError: a part of it is invalid, or it names no stream.
    """
    stream = fields.get("stream", "")
    if not stream or "\0" in stream:
        raise PageError(400, "The address names no stream of parked messages: it needs ?stream=.")
    try:
        id = UUID(fields["id"]) if fields.get("id") else None
    except ValueError:
        raise PageError(400, f"{fields['id']!r:.80} is not the id of a parked message.") from None
    up_to = fields.get("up_to", "").strip()
    if up_to and not (
        up_to.isascii() and up_to.isdigit() and len(up_to) < 20 and int(up_to) <= LAST
    ):
        raise PageError(400, f"up_to is not a position: {up_to!r:.60}")
    return Selection(
        stream=stream,
        of=fields.get("of", "").replace("\0", ""),
        type=fields.get("type", "").replace("\0", ""),
        error=fields.get("error", "").replace("\0", ""),
        up_to=int(up_to) if up_to else None,
        id=id,
        is_redacted=is_redacted,
    )

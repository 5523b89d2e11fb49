"""Input of ``write``: messages from its arguments, or from lines of JSON."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import msgspec

from messagedb import ANY, NO_STREAM, STREAM_EXISTS, NewMessage, ValidationError
from messagedb.expected_version import ExpectedVersion

_VERSIONS: dict[str, ExpectedVersion] = {
    "any": ANY,
    "no-stream": NO_STREAM,
    "stream-exists": STREAM_EXISTS,
}


class InputLine(msgspec.Struct, forbid_unknown_fields=True):
    """A message as a line of JSON."""

    type: str
    data: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    id: UUID | None = None


# Byte order mark that some programs put before UTF-8.
_BOM = "\ufeff"

# The client is opened with decimals=True: a number keeps its digits.
_decode = msgspec.json.Decoder[Any](float_hook=Decimal).decode
_decode_line = msgspec.json.Decoder(InputLine, float_hook=Decimal).decode


def parse_expected_version(text: str) -> ExpectedVersion:
    """Parse the version that an option names.

    Raises:
        ValidationError: it is not a version.
    """
    if text in _VERSIONS:
        return _VERSIONS[text]
    if text.isascii() and text.isdigit():
        return int(text)
    raise ValidationError(
        f"--expected-version takes any, no-stream, stream-exists or the position of the stream's "
        f"last message, not {text!r}. Nothing was sent."
    )


def parse_json_object(text: str | None, what: str) -> dict[str, Any] | None:
    """Parse a JSON object.

    Raises:
        ValidationError: it is not a JSON object.
    """
    if text is None:
        return None
    try:
        value: Any = _decode(text.removeprefix(_BOM))
    except (msgspec.DecodeError, ValueError) as error:
        raise ValidationError(
            f"{what} is not JSON ({_format_reason(error)}). Nothing was sent."
        ) from None
    if value is not None and not isinstance(value, dict):
        raise ValidationError(f"{what} must be a JSON object, not {text:.60}. Nothing was sent.")
    return cast("dict[str, Any] | None", value)


def decode_raw(raw: msgspec.Raw) -> dict[str, Any] | None:
    """Decode the data or metadata of an exported line; None for SQL NULL and JSON null.

    Raises:
        ValidationError: it is not a JSON object.
    """
    text = bytes(raw).decode()
    return parse_json_object(text, "data") if text else None


def build_message(
    type: str, data: dict[str, Any] | None, metadata: dict[str, Any] | None, id: UUID | None
) -> NewMessage:
    """Return a message to write, with a new id if none is passed."""
    return (
        NewMessage(type, data, metadata=metadata)
        if id is None
        else NewMessage(type, data, metadata=metadata, id=id)
    )


def parse_messages(lines: Iterable[str]) -> list[NewMessage]:
    """Parse the messages of lines of JSON; empty lines are ignored.

    Raises:
        ValidationError: a line is not a message; the text names it.
    """
    messages: list[NewMessage] = []
    for number, given in enumerate(lines, 1):
        line = given.removeprefix(_BOM) if number == 1 else given
        if not line.strip():
            continue
        try:
            found = _decode_line(line)
            message = build_message(found.type, found.data, found.metadata, found.id)
        except (msgspec.MsgspecError, ValueError) as error:
            raise ValidationError(
                f"line {number} is not a message ({_format_reason(error)}): it takes type, and "
                "optionally data, metadata and id. Nothing was sent."
            ) from None
        messages.append(message)
    if not messages:
        raise ValidationError("there is no message in the input. Nothing was sent.")
    return messages


def _format_reason(error: Exception) -> str:
    return "its bytes are not UTF-8" if isinstance(error, UnicodeError) else str(error)

"""The copy of a command that reserves its handling."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from .._errors import ValidationError
from .._messages.ids import derive_id
from .._messages.message import Message, NewMessage
from .._messages.metadata import Metadata
from .validation import check_stream_name


def build_reservation(
    command: Message[Any], stream_name: str, *, decimals: bool = False
) -> NewMessage:
    """Return the copy of a command that is to be the first message of a stream.

    Its id is derived from the command's id and the stream, so that the same command has one copy
    there. The schema version is copied, as the data is the same. With *decimals*, fractions are
    copied exactly, to the last digit, which floats would lose.

    Raises:
        MessageDecodeError: data or metadata of the command cannot be decoded.
        ValidationError: the command is not a stored message, or the name cannot be that of a
            stream.
    """
    check_command(command)
    check_stream_name(stream_name)
    # The data as it is stored: a class may be at a newer schema version.
    stored: Message[Any] = msgspec.structs.replace(command, _types=None)
    if decimals:
        stored = msgspec.structs.replace(stored, _decimals=True)
    metadata = msgspec.structs.replace(
        Metadata.following(stored), schema_version=Metadata.from_message(stored).schema_version
    )
    id = derive_id("reservation", str(command.id), stream_name)
    return NewMessage(command.type, stored.data, metadata=metadata, id=id)


def check_command(command: object) -> None:
    """Refuse a command that is not a stored message.

    Raises:
        ValidationError: it is not one. Nothing was sent.
    """
    if not isinstance(cast("Any", command), Message):
        raise ValidationError(
            f"expected the stored Message, not {type(command).__name__}: a handler has it in "
            "context.message. Nothing was sent."
        )

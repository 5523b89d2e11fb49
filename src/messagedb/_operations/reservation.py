"""The copy of a command that reserves its handling."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from .._errors import ValidationError
from .._messages.ids import derive_id
from .._messages.message import Message, NewMessage
from .._messages.metadata import Metadata


def build_reservation(
    command: Message[Any], stream_name: str, *, decimals: bool = False
) -> NewMessage:
    """The copy of a command that is to be the first message of a stream.

    Its id is made of the command's and of the stream, so that the same command has one copy there.
    The schema version goes with the data, which is the same; with *decimals* to the last digit of
    fractions, which floats do not have.

    Raises:
        MessageDecodeError: data or metadata of the command cannot be read.
        ValidationError: the command is no message that was read, or the name is no text.
    """
    check_command(command)
    name: Any = stream_name
    if not isinstance(name, str):
        raise ValidationError(f"a stream's name is a text, not {name!r}. Nothing was sent.")
    # As it is stored, not as a class sees it that is at a newer version.
    stored: Message[Any] = msgspec.structs.replace(command, _types=None)
    if decimals:
        stored = msgspec.structs.replace(stored, _decimals=True)
    metadata = msgspec.structs.replace(
        Metadata.following(stored), schema_version=Metadata.from_message(stored).schema_version
    )
    id = derive_id("reservation", str(command.id), stream_name)
    return NewMessage(command.type, stored.data, metadata, id)


def check_command(command: object) -> None:
    """Refuse what is not a message that was read.

    Raises:
        ValidationError: it is not. Nothing was sent.
    """
    if not isinstance(cast("Any", command), Message):
        raise ValidationError(
            f"a command is given as the Message that was read, not as {type(command).__name__}: a "
            "handler has it in context.message. Nothing was sent."
        )

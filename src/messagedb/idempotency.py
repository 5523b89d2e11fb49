"""Commands that come twice: what tells that one was handled, and what reserves its handling."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from ._consumers.context import derive_id
from ._errors import ValidationError
from ._messages.message import Message, NewMessage
from ._messages.metadata import Metadata

__all__ = ["is_already_handled"]


def is_already_handled(sequence: int | None, command: Message[Any]) -> bool:
    """Tell by the sequence of an entity whether a command was handled for it already.

    Each event has a field, ``sequence``, with the global position of the command that it was
    written for; the entity keeps the largest. A handler that finds its command at or before that
    skips it.

    It protects against a command that is handed over again: after a crash, or by a position that
    was set back. It does not protect against a command that was written twice, which has two
    positions; nor where the entity's commands come from several categories or by several consumers,
    as then a later position can be handled before an earlier one, which would be skipped; nor
    against two handlers at the same time: write with the entity's version for that.

    Args:
        sequence: the largest of the entity; None if it has none yet.
        command: the command as it was read.

    Raises:
        ValidationError: they are not of these kinds. Nothing was sent.
    """
    _check_message(command)
    given: Any = sequence
    if given is not None and (not isinstance(given, int) or isinstance(given, bool)):
        raise ValidationError(
            f"a sequence is the global position of a command, or None, not {given!r}. Nothing was "
            "sent."
        )
    return sequence is not None and sequence >= command.global_position


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
    _check_message(command)
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


def _check_message(command: object) -> None:
    if not isinstance(cast("Any", command), Message):
        raise ValidationError(
            f"a command is given as the Message that was read, not as {type(command).__name__}: a "
            "handler has it in context.message. Nothing was sent."
        )

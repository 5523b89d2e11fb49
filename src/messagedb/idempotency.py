"""What tells that a command was handled before."""

from __future__ import annotations

from typing import Any

from ._errors import ValidationError
from ._messages.message import Message
from ._operations.reservation import check_command

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
    check_command(command)
    given: Any = sequence
    if given is not None and (not isinstance(given, int) or isinstance(given, bool)):
        raise ValidationError(
            f"a sequence is the global position of a command, or None, not {given!r}. Nothing was "
            "sent."
        )
    return sequence is not None and sequence >= command.global_position

"""Duplicate commands: detection that a command was already handled."""

from __future__ import annotations

from typing import Any

from ._errors import ValidationError
from ._messages.message import Message
from ._operations.reservation import check_command

__all__ = ["is_already_handled"]


def is_already_handled(sequence: int | None, command: Message[Any]) -> bool:
    """Return True if an entity's sequence proves that a command was already handled for it.

    Each event has a field, ``sequence``, with the global position of the command that it was
    written for; the entity keeps the largest. A handler skips a command whose global position is
    at or before that.

    This protects against a command that is delivered again: after a crash, or from a position that
    was set back. It does not protect against a command that was written twice, which has two
    positions. It does not work if the entity's commands come from several categories or are handled
    by several consumers: a later position can then be handled before an earlier one, which would
    be skipped. It does not protect against two handlers that run simultaneously: write with the
    entity's version for that.

    Example::

        if not is_already_handled(account.sequence, command):
            client.write_message("account-1", Deposited(5))

    Args:
        sequence: the largest sequence of the entity; None if it has none yet.
        command: the command as it was read.

    Raises:
        ValidationError: an argument has another type. Nothing was sent.
    """
    check_command(command)
    given: Any = sequence
    if given is not None and (not isinstance(given, int) or isinstance(given, bool)):
        raise ValidationError(
            f"a sequence is the global position of a command, or None, not {given!r}. Nothing was "
            "sent."
        )
    return sequence is not None and sequence >= command.global_position

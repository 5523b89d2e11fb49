"""What a stored position says, and what is wrong when it is not what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from .._errors import LostHistoryError, PositionConflictError
from .position_stores import RECORDED

if TYPE_CHECKING:
    from .._messages.message import Message
    from .._subscriptions.read_trail import Mark

RESIZED_TO = "resizedTo"
"""In the last record of a member of a group that has another size now: that size."""


def position_in(record: Message[Any], name: str) -> int | None:
    """The position that the last message of a position stream holds, by Eventide's rules.

    The global position of the last message that was handled; None where it says none, which means
    that nothing was. Other keys are let be.

    Raises:
        PositionConflictError: it is no position, or the group has another size now.
    """
    data: Any = record.data
    if record.type != RECORDED or not (data is None or isinstance(data, dict)):
        raise PositionConflictError(
            f"the last message of stream {name!r} is of type {record.type!r} and holds no "
            "position: somebody else writes to this stream. Nothing was changed. Give the consumer "
            "another identifier."
        )
    values = cast("dict[str, Any]", data or {})
    size = values.get(RESIZED_TO)
    if isinstance(size, int):
        raise resized(name, size)
    position = values.get("position")
    if position is None:
        return None
    if not isinstance(position, int) or isinstance(position, bool):
        raise PositionConflictError(
            f"the last message of stream {name!r} holds {position!r} where a position should be. "
            "Nothing was changed. Write a message of type Recorded with an integer there."
        )
    return position


class StoredPosition(msgspec.Struct, frozen=True):
    """A position as it is stored, with what the store is known again by.

    Attributes:
        position: the global position up to which everything is done.
        message_id: the id of the last message that was looked at; None where none was stored.
        mark_position: the global position of that message.
        history: the history of the server that it was read from; None where that is not known.
    """

    position: int
    message_id: str | None = None
    mark_position: int = 0
    history: str | None = None


def record_data(position: int, mark: Mark | None, history: str | None) -> dict[str, Any]:
    """Give the data of a record: Eventide's, and beside it what tells whether the store went back.

    Args:
        position: what is done.
        mark: the last message that was looked at, None where that is not known.
        history: the history of the server that this was read from, None where it is not known.
    """
    data: dict[str, Any] = {"position": position}
    if mark is not None:
        data["messageId"] = mark.id
        if mark.position != position:
            data["messagePosition"] = mark.position
    if history is not None:
        data["history"] = history
    return data


def stored_in(record: Message[Any], name: str) -> StoredPosition | None:
    """Give what the last message of a position stream says; None where nothing was handled.

    Raises:
        PositionConflictError: it is no position, or the group has another size now.
    """
    position = position_in(record, name)
    if position is None:
        return None
    values = cast("dict[str, Any]", record.data)
    id, at, history = (values.get(key) for key in ("messageId", "messagePosition", "history"))
    return StoredPosition(
        position,
        id if isinstance(id, str) else None,
        at if isinstance(at, int) else position,
        history if isinstance(history, str) else None,
    )


def given_up(record: Message[Any]) -> tuple[int, int] | None:
    """The position and the other size, where a record says that the group has another size now."""
    data: Any = record.data
    if record.type != RECORDED or not isinstance(data, dict):
        return None
    values = cast("dict[str, Any]", data)
    size, position = values.get(RESIZED_TO), values.get("position")
    if not isinstance(size, int):
        return None
    return (position if isinstance(position, int) else 0), size


def is_record(record: Message[Any]) -> bool:
    """Whether a message of a position stream holds a position of this size of the group."""
    return record.type == RECORDED and given_up(record) is None


def is_given_up(record: Message[Any]) -> bool:
    """Whether a record of a position stream says that the group has another size now."""
    return given_up(record) is not None


def conflict(name: str, ours: int | None, theirs: Any) -> PositionConflictError:
    """The error for a save that found another's position."""
    return PositionConflictError(
        f"another consumer stores its positions in {name!r}: this one had stored "
        f"{'none' if ours is None else ours}, and {'none' if theirs is None else theirs} is there "
        "now. The position is the other consumer's; what this one has handled since its own, "
        "the other one handles as well. Two consumers at once need two identifiers; one that takes "
        "over from another goes on by itself."
    )


def lease_lost(name: str, reason: str) -> PositionConflictError:
    """The error for a consumer whose place another one has taken."""
    return PositionConflictError(
        f"another consumer runs under {name!r}: this one could not show that it is alive in time "
        f"({reason}), and the other one has taken over. The position is the other consumer's; what "
        "this one has handled since it stored its own, the other one handles as well. Run it "
        "again: it waits for its turn then."
    )


def resized(name: str, size: int) -> PositionConflictError:
    """The error for a member of a group that has another size now."""
    return PositionConflictError(
        f"{name!r} is a member of a consumer group that was given another size, {size}: its "
        f"streams are those of other members now. Nothing was changed. Run it with "
        f"group_size={size}."
    )


def save_is_gone(name: str, ours: int | None, theirs: int | None) -> LostHistoryError:
    """The error for a save that found an earlier position than the one it had stored before."""
    return LostHistoryError(name, ours or 0, None, None, theirs, None, is_save=True)


def runs_elsewhere(name: str) -> PositionConflictError:
    """The error for a change of a position that a running consumer has."""
    return PositionConflictError(
        f"a consumer runs under {name!r}, here or elsewhere. Nothing was changed. Stop it first."
    )

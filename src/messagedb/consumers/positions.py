"""What a stored position says, and what is wrong when it is not what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ..errors import PositionConflictError
from .stores import RECORDED

if TYPE_CHECKING:
    from ..messages import Message

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


def beyond_head(name: str, stored: int, head: int) -> PositionConflictError:
    """The error for a position that the store has not come to."""
    return PositionConflictError(
        f"{name!r} holds position {stored}, and the last message of the store is at {head}: the "
        "store was emptied, or restored from a backup that is older than the position. Nothing was "
        "changed. The consumer would miss all messages up to there: set its position with "
        "reset_position()."
    )


def runs_elsewhere(name: str) -> PositionConflictError:
    """The error for a change of a position that a running consumer has."""
    return PositionConflictError(
        f"a consumer runs under {name!r}, here or elsewhere. Nothing was changed. Stop it first."
    )

"""Contents of a position record, and errors of records that are not as expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from .._errors import LostHistoryError, PositionConflictError
from .position_stores import RECORDED

if TYPE_CHECKING:
    from .._messages.message import Message
    from .._subscriptions.read_trail import ReadMessage

RESIZED_TO = "resizedTo"
"""The key in the last record of a member whose group was resized: the new size."""


def parse_position(record: Message[Any], name: str) -> int | None:
    """Return the position in the last message of a position stream, by Eventide's rules.

    It is the global position of the last message that was handled; None if the record has none,
    which means that no message was handled. Other keys are ignored.

    Raises:
        PositionConflictError: it is not a position, or the group has another size now.
    """
    data: Any = record.data
    if record.type != RECORDED or not (data is None or isinstance(data, dict)):
        raise PositionConflictError(
            f"the last message of stream {name!r} is of type {record.type!r} and holds no "
            "position: another process writes to this stream. Nothing was changed. Give the "
            "consumer another identifier."
        )
    values = cast("dict[str, Any]", data or {})
    size = values.get(RESIZED_TO)
    if isinstance(size, int):
        raise group_resized_error(name, size)
    position = values.get("position")
    if position is None:
        return None
    if not isinstance(position, int) or isinstance(position, bool):
        raise PositionConflictError(
            f"the last message of stream {name!r} holds {position!r} instead of a position. "
            "Nothing was changed. Write a message of type Recorded with an integer there."
        )
    return position


class StoredPosition(msgspec.Struct, frozen=True):
    """A stored position, with the facts that identify the store's history.

    Attributes:
        position: the global position up to which all messages are done.
        message_id: the id of the last message that was read; None if none was stored.
        message_position: the global position of that message.
        history: the history of the server that it was read from; None if it is not known.
    """

    position: int
    message_id: str | None = None
    message_position: int = 0
    history: str | None = None


def build_record_data(
    position: int, last_read: ReadMessage | None, history: str | None
) -> dict[str, Any]:
    """Return the data of a record: Eventide's, and facts from which lost messages are detected.

    Args:
        position: the position to store.
        last_read: the last message that was read, None if it is not known.
        history: the history of the server that this was read from, None if it is not known.
    """
    data: dict[str, Any] = {"position": position}
    if last_read is not None:
        data["messageId"] = last_read.id
        if last_read.position != position:
            data["messagePosition"] = last_read.position
    if history is not None:
        data["history"] = history
    return data


def parse_stored_position(record: Message[Any], name: str) -> StoredPosition | None:
    """Decode the last message of a position stream; None if no message was handled.

    Raises:
        PositionConflictError: it is not a position, or the group has another size now.
    """
    position = parse_position(record, name)
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


def parse_retired_position(record: Message[Any]) -> tuple[int, int] | None:
    """Return position and new size from a record of a resized group; None for other records."""
    data: Any = record.data
    if record.type != RECORDED or not isinstance(data, dict):
        return None
    values = cast("dict[str, Any]", data)
    size, position = values.get(RESIZED_TO), values.get("position")
    if not isinstance(size, int):
        return None
    return (position if isinstance(position, int) else 0), size


def is_position_record(record: Message[Any]) -> bool:
    """Return True if a message of a position stream holds a position for the current group size."""
    return record.type == RECORDED and parse_retired_position(record) is None


def is_retired(record: Message[Any]) -> bool:
    """Return True if a record of a position stream says that the group has another size now."""
    return parse_retired_position(record) is not None


def position_conflict_error(name: str, ours: int | None, theirs: Any) -> PositionConflictError:
    """Return the error for a save that found the position of another consumer."""
    return PositionConflictError(
        f"another consumer saves its position in {name!r}: this one last saved "
        f"{'none' if ours is None else ours}, but {'none' if theirs is None else theirs} is stored "
        "now. The stored position is the other consumer's; it handles again the messages that this "
        "one handled since its last save. To run two consumers simultaneously, give them two "
        "identifiers; to let this one take over from the other, run it again."
    )


def lease_lost_error(name: str, reason: str) -> PositionConflictError:
    """Return the error for a consumer whose lease another consumer has acquired."""
    return PositionConflictError(
        f"another consumer runs under {name!r}: this one did not confirm its lease in time "
        f"({reason}), and the other one has acquired the lease. The stored position is the other "
        "consumer's; it handles again the messages that this one handled since its last save. Run "
        "this consumer again: it waits until it can acquire the lease."
    )


def group_resized_error(name: str, size: int) -> PositionConflictError:
    """Return the error for a consumer, or a member of a group, that has another size now."""
    return PositionConflictError(
        f"{name!r} belongs to a consumer group that was resized to {size} members. Its streams "
        "belong to the members of the new size. Nothing was changed. Run it with "
        f"group_size={size}, or with partitions={size} if it has partitions."
    )


def lost_save_error(name: str, ours: int | None, theirs: int | None) -> LostHistoryError:
    """Return the error for a save that found an earlier position than its last saved one."""
    return LostHistoryError(name, ours or 0, None, None, theirs, None, is_save=True)


def consumer_running_error(name: str) -> PositionConflictError:
    """Return the error for a change of a running consumer's position."""
    return PositionConflictError(
        f"a consumer runs under {name!r}, here or elsewhere. Nothing was changed. Stop it first."
    )

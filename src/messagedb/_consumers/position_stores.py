"""Where a consumer keeps its position, and what it is called there: names and options, no I/O."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from .._errors import ValidationError
from .._operations import validation
from ..streams import hash_64, position_stream_name

__all__ = ["StreamPositionStore", "TablePositionStore", "position_stream_name"]


class StreamPositionStore(msgspec.Struct, frozen=True):
    """Positions in a stream of the store, in the form of the Eventide toolkit.

    A Ruby service can take the position over, and the other way round: stream
    ``account:position-<identifier>``, messages of type ``Recorded`` with ``{"position": n}``, where
    *n* is the global position of the last message that was handled. (A Ruby consumer begins with
    message *n* itself and handles it once more; this library begins after it.)

    Attributes:
        stream_name: another stream to keep the position in, instead of the one that the category,
            the identifier and the group's member and size make. Two consumers of one stream keep
            each other out.
    """

    stream_name: str | None = None


class TablePositionStore(msgspec.Struct, frozen=True):
    """Positions in the table ``messagedb.positions``: one row for a consumer, updated in place.

    For consumers that store often: nothing is added to the store for each position. The table is
    made by ``messagedb.schema.install()``, also beside a Message DB that is there already; the role
    ``message_store`` may use it.

    Attributes:
        name: another key of the row, instead of the name that the position's stream would have.
    """

    name: str | None = None


RECORDED: Final = "Recorded"
"""The type of the messages in a position stream, as Eventide writes it."""


def consumer_name(identifier: str | None, member: int | None, size: int | None) -> str | None:
    """The identifier with the group's member and size, which no two members have in common."""
    if member is None or size is None:
        return identifier
    return f"{identifier}+{member}+{size}"


def check_identifier(identifier: Any, is_member: bool) -> None:
    """An identifier is a text that can be a stream's id; a member of a group needs one.

    Raises:
        ValidationError: the text says what it must be. Nothing was sent.
    """
    if identifier is None:
        if is_member:
            raise ValidationError(
                "a member of a consumer group needs an identifier: the group's name, the same for "
                "all of its members. Nothing was sent."
            )
        return
    if not isinstance(identifier, str) or not identifier:
        raise ValidationError(
            f"identifier must be a text that names the consumer, not {identifier!r}. Nothing was "
            "sent."
        )
    validation.check_stream_name(f"x-{identifier}")


def lease_keys(name: str) -> tuple[int, int]:
    """The two halves of the advisory lock of a consumer: PostgreSQL's pairs of 32-bit integers.

    The categories' own locks are single integers of 64 bits, which these never meet.
    """
    key = hash_64(f"messagedb consumer {name}")
    return _int32(key >> 32), _int32(key)


def _int32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - 0x100000000 if value >= 0x80000000 else value

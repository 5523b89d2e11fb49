"""Position stores of consumers: names and options. No I/O."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from .._errors import ValidationError
from .._operations import validation
from ..streams import base_category, hash_64, position_stream_name

__all__ = ["StreamPositionStore", "TablePositionStore", "position_stream_name"]


class StreamPositionStore(msgspec.Struct, frozen=True):
    """Positions in a stream of the store, in the format of the Eventide toolkit.

    A Ruby service can continue from the position, and vice versa: stream
    ``account:position-<identifier>``, messages of type ``Recorded`` with ``{"position": n}``, where
    ``n`` is the global position of the last message that was handled. (A Ruby consumer begins with
    message ``n`` itself and handles it once more; this library begins after it.)

    Example::

        store = StreamPositionStore("shipping:position")
        consumer = Consumer(client, "order", identifier="shipping", position_store=store)

    Attributes:
        stream_name: another stream for the position, instead of the name built from the category,
            the identifier and the group's member and size. Only one consumer of a position stream
            runs at a time.
    """

    stream_name: str | None = None


class TablePositionStore(msgspec.Struct, frozen=True):
    """Positions in the table ``messagedb.positions``: one row per consumer, updated in place.

    Use it for consumers that save often: a save adds no message to the store. The table is created
    by ``messagedb.schema.install()``, also in an existing Message DB; the role ``message_store``
    may use it.

    Example::

        store = TablePositionStore()
        consumer = Consumer(client, "order", identifier="shipping", position_store=store)

    Attributes:
        name: another key of the row, instead of the name that the position stream would have.
    """

    name: str | None = None


class SharedPositionStore(TablePositionStore, frozen=True):
    """Positions in the same table that transactions move forward, too: of inline read models."""


RECORDED: Final = "Recorded"
"""The type of the messages in a position stream, as Eventide writes it."""


def build_consumer_name(identifier: str | None, member: int | None, size: int | None) -> str | None:
    """Return the identifier with the group's member and size, which is unique to a member."""
    if member is None or size is None:
        return identifier
    return f"{identifier}+{member}+{size}"


def check_identifier(identifier: Any, is_member: bool) -> None:
    """Raise unless an identifier can be the id of a stream; a member of a group needs one.

    Raises:
        ValidationError: it is invalid or missing; the text says what is valid. Nothing was sent.
    """
    if identifier is None:
        if is_member:
            raise ValidationError(
                "a member of a consumer group needs an identifier: the name of the group, the same "
                "for all of its members. Nothing was sent."
            )
        return
    if not isinstance(identifier, str) or not identifier:
        raise ValidationError(
            f"identifier must be a string that names the consumer, not {identifier!r}. Nothing was "
            "sent."
        )
    validation.check_stream_name(f"x-{identifier}")


class LeaseKeys(NamedTuple):
    """The numbers of a lease's advisory locks, PostgreSQL's 32-bit integers.

    Attributes:
        first: the first number of the consumer's lock.
        second: its second number.
        category: the second number of the category's lock, where categories are moved between
            nodes; None elsewhere.
        is_shared: True if several sessions may hold it.
    """

    first: int
    second: int
    category: int | None = None
    is_shared: bool = False


def derive_category_key(name: str) -> int:
    """Return the number of the locks of the category of a stream or category, without its types."""
    return hash_64(base_category(name)) >> 32


def derive_lease_keys(name: str) -> tuple[int, int]:
    """Return the key of a consumer's advisory lock, as PostgreSQL's pair of 32-bit integers.

    The locks of categories are single 64-bit integers, which never collide with a pair.
    """
    key = hash_64(f"messagedb consumer {name}")
    return _to_int32(key >> 32), _to_int32(key)


def _to_int32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - 0x100000000 if value >= 0x80000000 else value

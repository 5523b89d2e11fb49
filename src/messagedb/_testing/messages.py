"""Messages for tests, made without a store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from .._errors import ValidationError
from .._messages.json_objects import encode_object
from .._messages.message import EPOCH, MICROSECOND, Message, NewMessage
from .._messages.metadata import encode_metadata


def make_message(
    stream_name: str,
    type: str,
    data: Any = None,
    metadata: Mapping[str, Any] | msgspec.Struct | None = None,
    *,
    id: UUID | str | None = None,
    position: int = 0,
    global_position: int = 1,
    time: datetime | None = None,
) -> Message[Any]:
    """Make a message without a store, for tests.

    Data and metadata are encoded as a write encodes them. The server stores JSON with its own order
    and spacing, so compare such a message with a stored one by their properties.

    Example::

        message = make_message("account-1", "Deposited", {"amount": 5}, position=3)
        print(message.stream_name, message.position, message.data)

    Args:
        stream_name: the stream of the message.
        type: the message type.
        data: as for NewMessage.
        metadata: as for NewMessage.
        id: a UUID or its string; default: a new one.
        position: in the stream, from 0.
        global_position: in the store, from 1.
        time: with a time zone; default: now.

    Raises:
        ValidationError: the same values are refused as in a write, and a time without a time
            zone.
    """
    new = (
        NewMessage(type, data, metadata=metadata)
        if id is None
        else NewMessage(type, data, metadata=metadata, id=id)
    )
    if time is None:
        time = datetime.now(UTC)
    elif time.utcoffset() is None:
        raise ValidationError(
            f"time has no time zone: pass time.replace(tzinfo=UTC) if {time} is meant in UTC"
        )
    return Message(
        str(new.id),
        stream_name,
        new.type,
        position,
        global_position,
        encode_object(new.data, label="data"),
        encode_metadata(new.metadata),
        (time - EPOCH) // MICROSECOND,
    )

"""Messages that were put aside: what is written of them, and which of them still are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import msgspec

from .._messages.ids import derive_id
from .._messages.message import Message, NewMessage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

__all__ = ["ParkedMessage"]

PARKED: Final = "Parked"
REPLAYED: Final = "Replayed"
DISCARDED: Final = "Discarded"


class ParkedMessage(msgspec.Struct, frozen=True):
    """A message that a consumer has put aside.

    The message itself stays where it is, in its stream; the stream of parked messages refers to it.

    Attributes:
        id: the id of the record that it was parked with.
        message_id: the id of the message.
        stream_name: the stream that holds the message.
        position: its position in that stream.
        global_position: its position in the store.
        type: its message type.
        reason: why it was parked: the handler's word, or the error in one line.
        attempts: how often the handler was called with it.
        time: when it was parked, by the server's clock.
    """

    id: UUID
    message_id: UUID
    stream_name: str
    position: int
    global_position: int
    type: str
    reason: str
    attempts: int
    time: datetime


def record_of(
    message: Message[Any], seed: str, reason: str, attempts: int, times: int
) -> NewMessage:
    """What is written to park a message. Its id makes parking twice parking once.

    Args:
        message: the message to park.
        seed: the consumer, as in the ids that its handlers make.
        reason: why.
        attempts: how often its handler was called.
        times: how often it was parked before and then replayed or discarded: what comes after that
            is another parking.
    """
    data = {
        "streamName": message.stream_name,
        "position": message.position,
        "globalPosition": message.global_position,
        "type": message.type,
        "messageId": str(message.id),
        "reason": reason,
        "attempts": attempts,
    }
    return NewMessage(PARKED, data, id=derive_id("parked", seed, str(message.id), str(times)))


def end_of(parked: ParkedMessage, type_name: str) -> NewMessage:
    """What is written when a parked message was replayed or discarded."""
    data = {"parkedId": str(parked.id), "globalPosition": parked.global_position}
    return NewMessage(type_name, data, id=derive_id("ended", str(parked.id)))


def still_parked(records: Iterable[Message[Any]]) -> list[ParkedMessage]:
    """The messages that are parked and neither replayed nor discarded, in the order of parking."""
    parked: dict[str, ParkedMessage] = {}
    for record in records:
        data = cast("dict[str, Any]", record.data or {})
        if record.type == PARKED:
            parked[str(record.id)] = _parked(record, data)
        elif record.type in (REPLAYED, DISCARDED):
            parked.pop(str(data.get("parkedId")), None)
    return list(parked.values())


def times_ended(records: Iterable[Message[Any]], message: Message[Any]) -> int:
    """How often a message was parked and then replayed or discarded."""
    return sum(
        1
        for record in records
        if record.type in (REPLAYED, DISCARDED)
        and cast("dict[str, Any]", record.data or {}).get("globalPosition")
        == message.global_position
    )


def _parked(record: Message[Any], data: dict[str, Any]) -> ParkedMessage:
    return ParkedMessage(
        record.id,
        UUID(data["messageId"]),
        data["streamName"],
        data["position"],
        data["globalPosition"],
        data["type"],
        data["reason"],
        data["attempts"],
        record.time,
    )

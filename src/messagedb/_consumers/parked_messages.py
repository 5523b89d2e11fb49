"""Records of parked messages, and the messages that are still parked."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

import msgspec

from .._messages.ids import derive_id
from .._messages.message import Message, NewMessage

__all__ = ["ParkedMessage"]

PARKED: Final = "Parked"
REPLAYED: Final = "Replayed"
DISCARDED: Final = "Discarded"

_logger = logging.getLogger("messagedb.consumer")


class ParkedMessage(msgspec.Struct, frozen=True):
    """A message that a consumer has parked.

    The message itself stays in its stream; the record in the stream of parked messages refers to
    it.

    Attributes:
        id: the id of the record that it was parked with.
        message_id: the id of the message.
        stream_name: the stream of the message.
        position: its position in that stream.
        global_position: its position in the store.
        type: its message type.
        reason: the reason that the handler gave, or the error in one line.
        attempts: the number of calls of the handler with it.
        time: the time at which it was parked, by the server's clock.
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


def build_parked_record(
    message: Message[Any], id_namespace: str, reason: str, attempts: int, resolutions: int
) -> NewMessage:
    """Return the record of a parked message. Its derived id makes parking idempotent.

    Args:
        message: the message to park.
        id_namespace: the consumer, as in the ids that its handlers derive.
        reason: the reason for parking it.
        attempts: the number of calls of its handler.
        resolutions: how often it was parked before and then replayed or discarded: after that, it
            can be parked again.
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
    return NewMessage(
        PARKED, data, id=derive_id("parked", id_namespace, str(message.id), str(resolutions))
    )


def build_resolution_record(parked: ParkedMessage, type_name: str) -> NewMessage:
    """Return the record that ends a parked message: it was replayed or discarded."""
    data = {"parkedId": str(parked.id), "globalPosition": parked.global_position}
    return NewMessage(type_name, data, id=derive_id("ended", str(parked.id)))


def list_unresolved(records: Iterable[Message[Any]]) -> list[ParkedMessage]:
    """Return the messages that are neither replayed nor discarded, in the order of parking.

    A record that names no message is logged and left out, so that the others can be read.
    """
    parked: dict[str, ParkedMessage] = {}
    for record in records:
        found: Any = record.data
        data = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        if record.type == PARKED:
            try:
                parked[str(record.id)] = _parse_parked_record(record, data)
            except (AttributeError, LookupError, TypeError, ValueError):
                _logger.warning(
                    "record %d of stream %r names no parked message",
                    record.position,
                    record.stream_name,
                )
        elif record.type in (REPLAYED, DISCARDED):
            parked.pop(str(data.get("parkedId")), None)
    return list(parked.values())


def count_resolutions(records: Iterable[Message[Any]], message: Message[Any]) -> int:
    """Count how often a message was parked and then replayed or discarded."""
    return sum(
        1
        for record in records
        if record.type in (REPLAYED, DISCARDED)
        and cast("dict[str, Any]", record.data or {}).get("globalPosition")
        == message.global_position
    )


def _parse_parked_record(record: Message[Any], data: dict[str, Any]) -> ParkedMessage:
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

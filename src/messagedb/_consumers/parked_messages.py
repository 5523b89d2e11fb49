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
REPLAY_FAILED: Final = "ReplayFailed"

_logger = logging.getLogger("messagedb.consumer")


class ParkedMessage(msgspec.Struct, frozen=True):
    """A message that a consumer has parked.

    The message itself stays in its stream; the record in the stream of parked messages refers to
    it.

    Example::

        for each in consumer.list_parked():
            print(each.stream_name, each.position, each.reason, each.attempts)

    Attributes:
        id: the id of the record that it was parked with.
        message_id: the id of the message.
        stream_name: the stream of the message.
        position: its position in that stream.
        global_position: its position in the store.
        type: its message type.
        reason: the reason that the handler gave, or the error in one line.
        attempts: the number of calls of the handler with it, replays included if it holds its
            stream; 0 if it was parked behind another message.
        time: the time at which it was parked, by the server's clock.
        holds_stream: whether later messages of its stream are parked behind it.
        waits_for: the position in the stream of the message that is to be replayed or discarded
            before this one; None if there is none.
        behind_count: the number of messages that are parked behind it, if it is the first.
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
    holds_stream: bool = False
    waits_for: int | None = None
    behind_count: int = 0


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
    return NewMessage(
        PARKED,
        _describe(message, reason, attempts),
        id=derive_id("parked", id_namespace, str(message.id), str(resolutions)),
    )


def build_held_record(
    message: Message[Any],
    id_namespace: str,
    reason: str,
    attempts: int,
    *,
    version: int,
    behind: int | None,
) -> NewMessage:
    """Return the record of a parked message that holds its stream.

    Args:
        message: the message to park.
        id_namespace: the consumer, as in the ids that its handlers derive.
        reason: the reason for parking it.
        attempts: the number of calls of its handler.
        version: the position of the record before it.
        behind: the position of the message that it waits for; None if it failed itself.
    """
    data = {**_describe(message, reason, attempts), "holdsStream": True}
    if behind is not None:
        data["behind"] = behind
    id = derive_id("held", id_namespace, str(message.id), str(version))
    return NewMessage(PARKED, data, id=id)


def build_resolution_record(parked: ParkedMessage, type_name: str) -> NewMessage:
    """Return the record that ends a parked message: it was replayed or discarded."""
    return NewMessage(type_name, _refer(parked), id=derive_id("ended", str(parked.id)))


def build_failure_record(parked: ParkedMessage, reason: str) -> NewMessage:
    """Return the record of a replay that failed: the message stays where it is in the list."""
    return NewMessage(
        REPLAY_FAILED, {**_refer(parked), "reason": reason, "attempts": parked.attempts + 1}
    )


class ParkedList:
    """The messages that are neither replayed nor discarded, from the records in their order."""

    def __init__(self) -> None:
        self._parked: dict[str, ParkedMessage] = {}
        # Of the held streams, by the position in the stream.
        self._held: dict[str, dict[int, ParkedMessage]] = {}

    def apply(self, record: Message[Any]) -> None:
        """Take in the next record. One that names no message is logged and left out."""
        found: Any = record.data
        data = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        try:
            if record.type == PARKED:
                self._add(_parse_parked_record(record, data))
            elif record.type in (REPLAYED, DISCARDED):
                self._remove(str(data.get("parkedId")))
            elif record.type == REPLAY_FAILED:
                self._note_failure(data)
        except (AttributeError, LookupError, TypeError, ValueError):
            _logger.warning(
                "record %d of stream %r names no parked message",
                record.position,
                record.stream_name,
            )

    def list_all(self) -> list[ParkedMessage]:
        """Return them in the order of parking."""
        first = {name: min(held) for name, held in self._held.items()}
        return [self._place(each, first.get(each.stream_name)) for each in self._parked.values()]

    def find_first(self, stream_name: str) -> ParkedMessage | None:
        """Return the message that holds a stream; None if none does."""
        held = self._held.get(stream_name)
        return self._place(held[min(held)], min(held)) if held else None

    def _add(self, parked: ParkedMessage) -> None:
        self._parked[str(parked.id)] = parked
        if parked.holds_stream:
            self._held.setdefault(parked.stream_name, {})[parked.position] = parked

    def _remove(self, id: str) -> None:
        parked = self._parked.pop(id, None)
        if parked is not None and parked.holds_stream:
            held = self._held.get(parked.stream_name, {})
            if parked.position in held and held[parked.position].id == parked.id:
                del held[parked.position]
                if not held:
                    del self._held[parked.stream_name]

    def _note_failure(self, data: dict[str, Any]) -> None:
        parked = self._parked.get(str(data.get("parkedId")))
        if parked is not None:
            reason, attempts = str(data["reason"]), int(data["attempts"])
            self._add(msgspec.structs.replace(parked, reason=reason, attempts=attempts))

    def _place(self, parked: ParkedMessage, first: int | None) -> ParkedMessage:
        """Return a message with its place in its stream, whose first message is at *first*."""
        if not parked.holds_stream:
            return parked
        if parked.position == first:
            behind_count = len(self._held[parked.stream_name]) - 1
            return msgspec.structs.replace(parked, behind_count=behind_count)
        return msgspec.structs.replace(parked, waits_for=first)


def list_unresolved(records: Iterable[Message[Any]]) -> list[ParkedMessage]:
    """Return the messages that are neither replayed nor discarded, in the order of parking.

    A record that names no message is logged and left out, so that the others can be read.
    """
    parked = ParkedList()
    for record in records:
        parked.apply(record)
    return parked.list_all()


def count_resolutions(records: Iterable[Message[Any]], message: Message[Any]) -> int:
    """Count how often a message was parked and then replayed or discarded."""
    return sum(
        1
        for record in records
        if record.type in (REPLAYED, DISCARDED)
        and cast("dict[str, Any]", record.data or {}).get("globalPosition")
        == message.global_position
    )


def _describe(message: Message[Any], reason: str, attempts: int) -> dict[str, Any]:
    return {
        "streamName": message.stream_name,
        "position": message.position,
        "globalPosition": message.global_position,
        "type": message.type,
        "messageId": str(message.id),
        "reason": reason,
        "attempts": attempts,
    }


def _refer(parked: ParkedMessage) -> dict[str, Any]:
    data: dict[str, Any] = {
        "parkedId": str(parked.id),
        "streamName": parked.stream_name,
        "position": parked.position,
        "globalPosition": parked.global_position,
    }
    return {**data, "holdsStream": True} if parked.holds_stream else data


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
        data.get("holdsStream") is True,
    )

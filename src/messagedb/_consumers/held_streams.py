"""Streams that a parked message holds: what follows in them is parked behind it. No I/O."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final, cast

from .._errors import ParkingLimitError
from .parked_messages import DISCARDED, PARKED, REPLAYED

if TYPE_CHECKING:
    from .._messages.message import Message

MAX_HELD_STREAMS: Final = 1024
"""The number of streams of a consumer, and of all members of its group, that can be held."""

MAX_HELD_MESSAGES: Final = 1024
"""The number of parked messages in one held stream, the one that failed included."""


class StreamHeld(Exception):
    """Returned instead of a handler's problem: the message is to be parked behind another one."""


STREAM_IS_HELD: Final = StreamHeld()


class HeldStreams:
    """The held streams of a consumer, from the records of its parked messages.

    Threads may read ``first`` and call ``is_behind`` while another one changes it.

    Attributes:
        first: the position of the first parked message of each held stream.
        count: the number of parked messages in all of them.
        ahead: the stream and position of messages that are parked, and that the run has not come to
            yet. They may have been replayed since.
    """

    def __init__(self) -> None:
        self.first: dict[str, int] = {}
        self.count = 0
        self.ahead: set[tuple[str, int]] = set()
        # Eight bytes for each message: there may be a million.
        self._positions: dict[str, array[int]] = {}

    @property
    def behind_count(self) -> int:
        """The number of messages that are parked behind another one."""
        return max(self.count - len(self.first), 0)

    def replace_by(self, other: HeldStreams) -> None:
        """Take over what another one knows, and forget the rest: no reader sees it half done."""
        self.first, self._positions, self.count = other.first, other._positions, other.count
        self.ahead = set()

    def apply(self, record: Message[Any]) -> None:
        """Take in the next record. One that is of another kind, or damaged, changes nothing."""
        given: object = record.data
        data = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        if data.get("holdsStream") is not True:
            return
        stream_name, position = data.get("streamName"), data.get("position")
        if not isinstance(stream_name, str) or not isinstance(position, int):
            return
        if record.type == PARKED:
            self.add(stream_name, position)
        elif record.type in (REPLAYED, DISCARDED):
            self._remove(stream_name, position)

    def add(self, stream_name: str, position: int) -> None:
        """Add a parked message. Adding it again has no effect."""
        positions = self._positions.setdefault(stream_name, array("q"))
        index = bisect_left(positions, position)
        if index < len(positions) and positions[index] == position:
            return
        positions.insert(index, position)
        self.count += 1
        self.first[stream_name] = positions[0]

    def _remove(self, stream_name: str, position: int) -> None:
        positions = self._positions.get(stream_name, array("q"))
        index = bisect_left(positions, position)
        if index == len(positions) or positions[index] != position:
            return
        self.count -= 1
        if len(positions) > 1:
            positions.pop(index)
            self.first[stream_name] = positions[0]
        else:
            del self.first[stream_name], self._positions[stream_name]

    def is_behind(self, message: Message[Any]) -> bool:
        """Return True if a message waits for a parked one of its stream, or is the parked one.

        A message before the first parked one was handled before, and may be again.
        """
        if self.ahead and (message.stream_name, message.position) in self.ahead:
            return True
        first = self.first.get(message.stream_name)
        return first is not None and message.position >= first

    def contains(self, message: Message[Any]) -> bool:
        """Return True if a message is parked."""
        positions = self._positions.get(message.stream_name, array("q"))
        index = bisect_left(positions, message.position)
        return index < len(positions) and positions[index] == message.position

    def count_free(self, stream_name: str) -> int:
        """Return how many more messages of a held stream can be parked."""
        return MAX_HELD_MESSAGES - len(self._positions.get(stream_name, ()))

    def check_limits(
        self, consumer: str, message: Message[Any], attempts: int, reason: str
    ) -> None:
        """Check that another message can be parked.

        Raises:
            ParkingLimitError: too many streams are held, or too many messages of this one parked.
        """
        positions = self._positions.get(message.stream_name)
        is_of_streams = positions is None
        count = len(self._positions) if positions is None else len(positions)
        limit = MAX_HELD_STREAMS if is_of_streams else MAX_HELD_MESSAGES
        if count >= limit:
            raise ParkingLimitError(
                consumer,
                message.stream_name,
                message.position,
                message.global_position,
                message.type,
                attempts,
                reason,
                limit=limit,
                is_of_streams=is_of_streams,
            )

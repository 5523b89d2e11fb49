"""Messages that may be handled simultaneously, in order per stream, and the completed position."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._messages.message import Message


class InFlightWindow:
    """The messages from the first that is not done to the last that was read.

    Messages of one stream are taken one after the other, those of several streams simultaneously.
    The position is the one up to which all messages are done. Threads may share a window.

    Args:
        position: the position up to which all messages are done at the beginning.
        capacity: the maximum number of messages, including done ones after a pending one.
    """

    def __init__(self, position: int, capacity: int) -> None:
        self._lock = threading.Lock()
        self._capacity = capacity
        # In the order of the store: [global position, True if it is done, the message until then].
        self._entries: deque[list[Any]] = deque()
        self._entries_by_position: dict[int, list[Any]] = {}
        # For each stream with a message that is taken or ready: the messages that wait behind it.
        self._waiting: dict[str, deque[Message[Any]]] = {}
        self._ready: deque[Message[Any]] = deque()
        self.position = position

    def __len__(self) -> int:
        """Return the number of messages in the window."""
        return len(self._entries)

    @property
    def has_room(self) -> bool:
        """True if the window can hold more messages."""
        return len(self._entries) < self._capacity

    @property
    def is_empty(self) -> bool:
        """True if all messages are done."""
        return not self._entries

    def add(self, messages: Iterable[Message[Any]], position: int) -> None:
        """Add messages in the order of the store, and the position up to which was read."""
        with self._lock:
            for message in messages:
                entry: list[Any] = [message.global_position, False, message]
                self._entries.append(entry)
                self._entries_by_position[message.global_position] = entry
                queued = self._waiting.get(message.stream_name)
                if queued is None:
                    self._waiting[message.stream_name] = deque()
                    self._ready.append(message)
                else:
                    queued.append(message)
            if not self._entries:
                self.position = max(self.position, position)
            elif self._entries[-1][0] < position:
                self._entries.append([position, True, None])

    def get_first(self) -> Message[Any] | None:
        """Return the first message that is not done: the position cannot pass it."""
        with self._lock:
            return self._entries[0][2] if self._entries else None

    def take_ready(self) -> Message[Any] | None:
        """Take a message whose stream is free; None if there is none."""
        with self._lock:
            return self._ready.popleft() if self._ready else None

    def mark_done(self, message: Message[Any]) -> int:
        """Mark a message as done, and return the position up to which all messages are done."""
        with self._lock:
            self._entries_by_position.pop(message.global_position)[1:] = (True, None)
            queued = self._waiting[message.stream_name]
            if queued:
                self._ready.append(queued.popleft())
            else:
                del self._waiting[message.stream_name]
            while self._entries and self._entries[0][1]:
                self.position = self._entries.popleft()[0]
            return self.position

"""Recently read messages, from which a store that lost messages is detected. No I/O."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from .._errors import LostHistoryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._operations.scan_results import ScannedPage

_MIN_PAGES: Final = 8
_MIN_MESSAGES: Final = 2000
"""The least numbers of pages and messages to remember: more than may be handled without a save. A
consumer that has caught up reads pages of one or two messages."""


class ReadMessage(msgspec.Struct, frozen=True):
    """A message that was read. Its id identifies the history of the store.

    Attributes:
        position: its global position.
        id: its id.
        history: the number of the history that it was read in.
    """

    position: int
    id: str
    history: int


class _Page(msgspec.Struct, frozen=True):
    positions: list[int]
    ids: list[str]
    last: ReadMessage | None
    history: int

    @property
    def count(self) -> int:
        """The number of messages that it remembers: at least one, the last of the page."""
        return max(len(self.ids), 1)


class ReadTrail:
    """The recently read messages, by page, in order.

    Attributes:
        last_message: the last message that was read; None before the first.
        history_error: the error that forbids further reads; None while no message is known to be
            lost.
    """

    def __init__(self) -> None:
        self.last_message: ReadMessage | None = None
        self.history_error: LostHistoryError | None = None
        self._pages: deque[_Page] = deque()
        self._message_count = 0

    def start_after(self, last_read: ReadMessage | None) -> None:
        """Forget all pages, and begin after a message."""
        self.last_message, self.history_error = last_read, None
        self._pages.clear()
        self._message_count = 0
        if last_read is not None:
            self._remember(_Page([], [], last_read, last_read.history))

    def add_page(self, scan: ScannedPage) -> None:
        """Add a page that was read in the same store as the earlier ones."""
        last = None
        if scan.last_id is not None:
            last = ReadMessage(scan.position, scan.last_id, scan.history)
        elif scan.messages:
            last = ReadMessage(scan.messages[-1].global_position, scan.ids[-1], scan.history)
        if last is None:
            if self.last_message is not None and self.last_message.history != scan.history:
                self.last_message = msgspec.structs.replace(self.last_message, history=scan.history)
            return
        positions = [message.global_position for message in scan.messages]
        self._remember(_Page(positions, scan.ids, last, scan.history))
        self.last_message = last

    def _remember(self, page: _Page) -> None:
        """Remember a page, and forget the oldest pages."""
        self._pages.append(page)
        self._message_count += page.count
        while (
            len(self._pages) > _MIN_PAGES
            and self._message_count - self._pages[0].count >= _MIN_MESSAGES
        ):
            self._message_count -= self._pages.popleft().count

    def find_message(self, position: int) -> ReadMessage | None:
        """Return the last message that was read up to a position, None if it is not known."""
        for page in reversed(list(self._pages)):
            if page.last is not None and page.last.position <= position:
                return page.last
            index = bisect_right(page.positions, position)
            if index:
                return ReadMessage(page.positions[index - 1], page.ids[index - 1], page.history)
        return None

    def list_positions_by_id(self) -> dict[str, int]:
        """Return the remembered ids with their positions."""
        positions: dict[str, int] = {}
        for page in list(self._pages):
            positions.update(zip(page.ids, page.positions, strict=False))
            if page.last is not None:
                positions[page.last.id] = page.last.position
        return positions


def find_last_common_position(
    remembered: Mapping[str, int], found: Iterable[tuple[str, int]]
) -> int | None:
    """Return the last position at which the store still has the message that was read there.

    Args:
        remembered: ids with their positions, as they were read.
        found: ids with their positions that are in the store now.
    """
    return max((position for id, position in found if remembered.get(id) == position), default=None)


def lost_message_error(
    name: str, last_read: ReadMessage, found_id: str | None, common: int | None, head: int | None
) -> LostHistoryError:
    """Return the error for a store that has another message, or none, at a known position."""
    return LostHistoryError(name, last_read.position, last_read.id, found_id, common, head)

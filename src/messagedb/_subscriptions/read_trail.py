"""What was looked at lately, so that a store that went back is noticed. It decides, without I/O."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from .._errors import LostHistoryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._operations.scan_results import ScannedPage

_PAGES: Final = 8
_MARKS: Final = 2000
"""So many pages and so many messages are remembered, at the least: more than may be handled without
a save. A consumer that has caught up reads pages of a message or two."""


class Mark(msgspec.Struct, frozen=True):
    """A message that was looked at, by which a store is known again.

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
    last: Mark | None
    history: int

    @property
    def count(self) -> int:
        """How many messages it remembers: one, at the least, that was the last."""
        return max(len(self.ids), 1)


class Trail:
    """The marks of the pages that were read lately, one after the other.

    Attributes:
        mark: the last message that was looked at; None before the first.
        lost: why what comes next must not be read; None while nothing is known to be lost.
    """

    def __init__(self) -> None:
        self.mark: Mark | None = None
        self.lost: LostHistoryError | None = None
        self._pages: deque[_Page] = deque()
        self._marks = 0

    def begin_at(self, mark: Mark | None) -> None:
        """Forget everything, and begin behind a message."""
        self.mark, self.lost = mark, None
        self._pages.clear()
        self._marks = 0
        if mark is not None:
            self._remember(_Page([], [], mark, mark.history))

    def note(self, scan: ScannedPage) -> None:
        """Take note of a page that was read in the same store as those before."""
        last = None
        if scan.last_id is not None:
            last = Mark(scan.position, scan.last_id, scan.history)
        elif scan.messages:
            last = Mark(scan.messages[-1].global_position, scan.ids[-1], scan.history)
        if last is None:
            if self.mark is not None and self.mark.history != scan.history:
                self.mark = msgspec.structs.replace(self.mark, history=scan.history)
            return
        positions = [message.global_position for message in scan.messages]
        self._remember(_Page(positions, scan.ids, last, scan.history))
        self.mark = last

    def _remember(self, page: _Page) -> None:
        """Remember a page, and forget the oldest ones."""
        self._pages.append(page)
        self._marks += page.count
        while len(self._pages) > _PAGES and self._marks - self._pages[0].count >= _MARKS:
            self._marks -= self._pages.popleft().count

    def mark_of(self, position: int) -> Mark | None:
        """Give the last message that was looked at up to a position, None where it is not known."""
        for page in reversed(list(self._pages)):
            if page.last is not None and page.last.position <= position:
                return page.last
            index = bisect_right(page.positions, position)
            if index:
                return Mark(page.positions[index - 1], page.ids[index - 1], page.history)
        return None

    def marks(self) -> dict[str, int]:
        """Give the ids that are remembered, with their positions."""
        found: dict[str, int] = {}
        for page in list(self._pages):
            found.update(zip(page.ids, page.positions, strict=False))
            if page.last is not None:
                found[page.last.id] = page.last.position
        return found


def last_common(remembered: Mapping[str, int], found: Iterable[tuple[str, int]]) -> int | None:
    """Give the last position at which the store still has the message that was looked at there.

    Args:
        remembered: ids with their positions, as they were.
        found: those that are in the store now.
    """
    return max((at for id, at in found if remembered.get(id) == at), default=None)


def lost_history(
    name: str, mark: Mark, found_id: str | None, common: int | None, head: int | None
) -> LostHistoryError:
    """Give the error for a store in which a message is not what it was."""
    return LostHistoryError(name, mark.position, mark.id, found_id, common, head)

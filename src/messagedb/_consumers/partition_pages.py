"""Pages of a category that the partitions of one process share. No I/O."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

import msgspec

from .._operations.scan_results import ScannedPage
from ..streams.hashing import group_member

if TYPE_CHECKING:
    from .._messages.message import Message

# A partition that is further behind than so many pages reads by itself.
_MAX_PAGES = 4


class SharedPage:
    """One scanned page, and which of its messages are of which partition.

    Args:
        scan: the page.
        first: the global position from which it was read.
        members: the partitions whose messages are in it.
        size: the number of all partitions.

    Attributes:
        first: the same.
        last: the last global position that was scanned; before the first one if there was none.
        members: the same.
        history: the client's number for the server's history.
    """

    def __init__(self, scan: ScannedPage, first: int, members: frozenset[int], size: int) -> None:
        self.first = first
        self.last = scan.position
        self.members = members
        self.history = scan.history
        self._scan = scan
        self._size = size
        self._messages: dict[int, tuple[list[Message[Any]], list[str]]] = {}
        for message, id in zip(scan.messages, scan.ids, strict=True):
            # The server sends streams without an id only if partition 0 has them.
            number = group_member(message.stream_name, size) or 0
            messages, ids = self._messages.setdefault(number, ([], []))
            messages.append(message)
            ids.append(id)

    def select(self, number: int, position: int) -> ScannedPage:
        """Return the part of a partition, from a global position on."""
        messages, ids = self._messages.get(number, ([], []))
        start = bisect_left(messages, position, key=_get_position)
        messages = messages[start:]
        scanned = self._scan.count // self._size if position == self.first else 0
        return msgspec.structs.replace(
            self._scan,
            messages=messages,
            ids=ids[start:],
            # Its part of the messages that none of the partitions wanted.
            count=max(len(messages), scanned),
        )


def mark_earlier(scan: ScannedPage) -> ScannedPage:
    """Return a page as one that more messages may follow, since it was read before it was wanted.

    Otherwise its reader waits for a notification that came in between.
    """
    return msgspec.structs.replace(scan, is_full=True)


def cut_page(scan: ScannedPage, position: int, limit: int) -> ScannedPage:
    """Return the part of a page up to a global position.

    Args:
        scan: the page.
        position: the global position from which it was read.
        limit: the last global position of the part.
    """
    if scan.position <= limit:
        return scan
    end = bisect_right(scan.messages, limit, key=_get_position)
    return msgspec.structs.replace(
        scan,
        messages=scan.messages[:end],
        ids=scan.ids[:end],
        position=max(limit, position - 1),
        is_full=False,
        last_id=None,
    )


class PageCache:
    """The newest pages that were read. Threads may share it."""

    def __init__(self) -> None:
        self._pages: tuple[SharedPage, ...] = ()

    def add(self, page: SharedPage) -> None:
        """Keep a page, and drop the oldest one."""
        self._pages = (page, *self._pages[: _MAX_PAGES - 1])

    def find(self, number: int, position: int, history: int) -> SharedPage | None:
        """Return a page with what follows in a partition from a global position on.

        Args:
            number: the partition.
            position: the global position.
            history: the newest history of the server: pages of an earlier one may be lost there.
        """
        for page in self._pages:
            if (
                page.first <= position <= page.last
                and number in page.members
                and page.history == history
            ):
                return page
        return None


def _get_position(message: Message[Any]) -> int:
    return message.global_position

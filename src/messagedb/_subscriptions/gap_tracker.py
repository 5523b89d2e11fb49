"""Which messages of the whole store may be handed over: those before the first unsettled gap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._operations.scan_results import ScannedPage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._operations.scan_results import OpenWriteTransaction, ScannedStorePage

# The virtual id of a prepared transaction that was there when the server started. Before that it
# had another one, under which it may be waited for.
_FROM_BEFORE_THE_START: Final = "-1/"


class Gaps:
    """The gaps that were seen, and whose end settles them. It decides, and does no I/O.

    A gap at a global position before the head of a scan belongs to a transaction that had its
    position before the scan, and its lock on the table before that. So it is settled, filled or
    dead, when every transaction that holds such a lock after the scan has ended, and so is every
    other gap before that head.

    The caller reads by these rules::

        if gaps.is_waiting_at(position) and not gaps.look(writers now):
            return gaps.nothing(position)
        scan = the page from position on
        if gaps.needs_writers(scan) and gaps.list_writers(scan, writers now):
            scan = the page once more
        return gaps.before(scan, position)

    Attributes:
        blocked_by: the transactions whose end is waited for.
        is_held: whether a gap was in the way of the last page.
    """

    def __init__(self) -> None:
        self.held_by: list[OpenWriteTransaction] = []
        self.is_held = False
        # Up to here nothing can appear any more.
        self._final = 0
        # Up to here nothing can when those that are waited for have ended.
        self._end = 0
        self._held_at = 0
        self._history = 0

    def is_waiting_at(self, position: int) -> bool:
        """Whether the gap at this position can only be settled when a transaction has ended."""
        return bool(self.held_by) and position == self._held_at

    def look(self, writers: Iterable[OpenWriteTransaction]) -> bool:
        """Take note of who is writing now.

        Returns:
            Whether one that was waited for has ended, so that a new look at the page is worth it.
        """
        before = {writer.transaction for writer in self.held_by}
        self.held_by = [
            writer
            for writer in writers
            if writer.transaction in before or writer.transaction.startswith(_FROM_BEFORE_THE_START)
        ]
        self._settle()
        return not before.issubset(writer.transaction for writer in self.held_by)

    def nothing(self, position: int) -> ScannedPage:
        """The answer to a read whose gap has not changed."""
        return ScannedPage([], position - 1, 0, is_full=False, history=self._history)

    def forget_unless_of(self, history: int) -> None:
        """Forget what was seen on a server with another history: transactions are others there.

        Args:
            history: the number of the history that the scan at hand is of.
        """
        if history != self._history:
            self._history = history
            self._final = self._end = self._held_at = 0
            self.held_by = []

    def needs_writers(self, scan: ScannedStorePage) -> bool:
        """Whether the scan has a gap of which nobody knows whose end settles it."""
        if scan.head < self._final:
            # Not the store that it was: restored, or messages were deleted.
            self._final = self._end = 0
            self.held_by = []
        start = self._first_unsettled(scan)
        return start is not None and (start > self._end or not self.held_by)

    def list_writers(self, scan: ScannedStorePage, writers: Iterable[OpenWriteTransaction]) -> bool:
        """Wait for those who were writing when the scan was over.

        Args:
            scan: a scan with a gap.
            writers: who is writing, asked for after the scan.

        Returns:
            Whether nobody was. Then all gaps of the scan are settled, and it must be made again, as
            some may have been filled since.
        """
        self.held_by = list(writers)
        self._end = scan.head
        self._settle()
        return not self.held_by

    def before(self, scan: ScannedStorePage, position: int) -> ScannedPage:
        """What of a scan from a position on may be handed over."""
        start = self._first_unsettled(scan)
        self.is_held = start is not None
        if start is None:
            self.held_by = []
            return scan
        self._held_at = start
        begin = max(position, 1)
        missing = sum(min(last + 1, start) - first for first, last in scan.gaps if first < start)
        messages = [message for message in scan.messages if message.global_position < start]
        ids = scan.ids[: len(messages)]
        # Filters may have taken out the last one that was looked at.
        is_last = bool(messages) and messages[-1].global_position == start - 1
        return ScannedPage(
            messages,
            start - 1,
            start - begin - missing,
            is_full=False,
            last_id=ids[-1] if is_last and ids else None,
            ids=ids,
            history=scan.history,
            found_id=scan.found_id,
        )

    def _first_unsettled(self, scan: ScannedStorePage) -> int | None:
        for first, last in scan.gaps:
            if last > self._final:
                return max(first, self._final + 1)
        return None

    def _settle(self) -> None:
        if not self.held_by:
            self._final = max(self._final, self._end)

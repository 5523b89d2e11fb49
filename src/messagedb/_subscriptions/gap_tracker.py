"""Messages of the whole store that can be delivered: those before the first unsettled gap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._operations.scan_results import ScannedPage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._operations.scan_results import OpenWriteTransaction, ScannedStorePage

# The virtual id of a prepared transaction that was open when the server started. Before the start
# it had another id, under which it may be waited for.
_FROM_BEFORE_THE_START: Final = "-1/"


class GapTracker:
    """The gaps that were seen, and the transactions whose end settles them. It does no I/O.

    A gap at a global position before the head of a scan belongs to a transaction that got its
    position before the scan, and its lock on the table before that. So the gap is settled (filled
    or permanent) when every transaction that holds such a lock after the scan has ended. The same
    holds for every other gap before that head.

    The caller reads by these rules::

        if gaps.is_waiting_at(position) and not gaps.update_writers(writers now):
            return gaps.build_empty_page(position)
        scan = the page from position on
        if gaps.needs_writer_list(scan) and gaps.wait_for_writers(scan, writers now):
            scan = the page once more
        return gaps.truncate_at_first_gap(scan, position)

    Attributes:
        blocked_by: the transactions that are waited for.
        is_blocked: True if the last page ended at an unsettled gap.
    """

    def __init__(self) -> None:
        self.blocked_by: list[OpenWriteTransaction] = []
        self.is_blocked = False
        # No message can appear at or below this position any more.
        self._safe_position = 0
        # Once the transactions we wait for have ended, no message can appear at or below this one.
        self._safe_after_wait = 0
        self._waiting_at = 0
        self._history = 0

    def is_waiting_at(self, position: int) -> bool:
        """Return True if the gap at this position is only settled when a transaction has ended."""
        return bool(self.blocked_by) and position == self._waiting_at

    def update_writers(self, writers: Iterable[OpenWriteTransaction]) -> bool:
        """Update the transactions that are waited for from those that are writing now.

        Returns:
            True if one of them has ended, so that it is worth reading the page again.
        """
        earlier = {writer.transaction for writer in self.blocked_by}
        self.blocked_by = [
            writer
            for writer in writers
            if writer.transaction in earlier
            or writer.transaction.startswith(_FROM_BEFORE_THE_START)
        ]
        self._advance_safe_position()
        return not earlier.issubset(writer.transaction for writer in self.blocked_by)

    def build_empty_page(self, position: int) -> ScannedPage:
        """Return the result of a read whose gap has not changed."""
        return ScannedPage([], position - 1, 0, is_full=False, history=self._history)

    def reset_if_history_changed(self, history: int) -> None:
        """Reset if the server's history is another: its transactions are other ones, too.

        Args:
            history: the number of the current scan's history.
        """
        if history != self._history:
            self._history = history
            self._safe_position = self._safe_after_wait = self._waiting_at = 0
            self.blocked_by = []

    def needs_writer_list(self, scan: ScannedStorePage) -> bool:
        """Return True if the scan has a gap whose possible transactions are not known yet."""
        if scan.head < self._safe_position:
            # The store was restored, or messages were deleted.
            self._safe_position = self._safe_after_wait = 0
            self.blocked_by = []
        start = self._first_unsettled(scan)
        return start is not None and (start > self._safe_after_wait or not self.blocked_by)

    def wait_for_writers(
        self, scan: ScannedStorePage, writers: Iterable[OpenWriteTransaction]
    ) -> bool:
        """Wait for the transactions that were writing when the scan was over.

        Args:
            scan: a scan with a gap.
            writers: the transactions that are writing, queried after the scan.

        Returns:
            True if there were none. Then all gaps of the scan are settled. Repeat the scan, because
            some gaps may have been filled since.
        """
        self.blocked_by = list(writers)
        self._safe_after_wait = scan.head
        self._advance_safe_position()
        return not self.blocked_by

    def truncate_at_first_gap(self, scan: ScannedStorePage, position: int) -> ScannedPage:
        """Return the part of a scan from a position on that can be delivered."""
        start = self._first_unsettled(scan)
        self.is_blocked = start is not None
        if start is None:
            self.blocked_by = []
            return scan
        self._waiting_at = start
        first_scanned = max(position, 1)
        missing = sum(min(last + 1, start) - first for first, last in scan.gaps if first < start)
        messages = [message for message in scan.messages if message.global_position < start]
        ids = scan.ids[: len(messages)]
        # Filters may have removed the last message that was scanned.
        is_last = bool(messages) and messages[-1].global_position == start - 1
        return ScannedPage(
            messages,
            start - 1,
            start - first_scanned - missing,
            is_full=False,
            last_id=ids[-1] if is_last and ids else None,
            ids=ids,
            history=scan.history,
            found_id=scan.found_id,
        )

    def _first_unsettled(self, scan: ScannedStorePage) -> int | None:
        for first, last in scan.gaps:
            if last > self._safe_position:
                return max(first, self._safe_position + 1)
        return None

    def _advance_safe_position(self) -> None:
        if not self.blocked_by:
            self._safe_position = max(self._safe_position, self._safe_after_wait)

"""One group on its way: the writes that it has claimed, and its end."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

from messagedb._group_commit.pending_write import SentAlone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from messagedb._group_commit.pending_write import PendingWrite


class Lead:
    """The right to send one group.

    Attributes:
        begun: when it began, by the clock of ``time.monotonic``.
        writes: the writes that it sends.
        has_chosen: whether it has claimed its writes.
        is_sent: whether the server may have the group.
        is_over: whether it has ended: each of its writes then has an outcome, or gets one.
        task: the task that sends it, if it is one.
    """

    def __init__(self) -> None:
        self.begun = monotonic()
        self.writes: list[PendingWrite] = []
        self.has_chosen = False
        self.is_sent = False
        self.is_over = False
        self.task: Any = None

    def claim(self, chosen: Iterable[PendingWrite], waiting: dict[PendingWrite, None]) -> None:
        """Claim writes, and remove them from those that wait."""
        for pending in chosen:
            if pending.claim(self):
                self.writes.append(pending)
            waiting.pop(pending, None)
        self.has_chosen = True

    def release(self, pending: PendingWrite) -> None:
        """Release a write that was not written: another group may claim it."""
        self.writes.remove(pending)
        pending.release()

    def settle(self, outcome: Any) -> None:
        """Set the outcome of each write that has none."""
        for pending in self.writes:
            pending.place.set_outcome(outcome)

    def end(self) -> None:
        """End it; the callers of writes without an outcome send them again by themselves.

        That is so after an exception from outside, such as that of a signal's handler.
        """
        self.is_over = True
        self.settle(self.build_interruption())

    def build_interruption(self) -> SentAlone:
        """Return the outcome of a write of a group that has not ended regularly."""
        if not self.is_sent:
            return SentAlone()
        return SentAlone(psycopg.OperationalError("the thread that sent the group was interrupted"))

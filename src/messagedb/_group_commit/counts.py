"""Counts of the groups that were stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._connection.pool_stats import PoolStats
    from .pending_write import LockNotFree, Outcome, PendingWrite


class GroupCounts:
    """The groups of one pool, and the writes and messages that were stored in them."""

    def __init__(self) -> None:
        self._groups = 0
        self._writes = 0
        self._messages = 0

    def add(self, group: Sequence[PendingWrite], results: Sequence[Outcome | LockNotFree]) -> None:
        """Count a group whose transaction was committed: the writes that have positions."""
        sizes = [
            len(pending.write.messages)
            for pending, result in zip(group, results, strict=True)
            if isinstance(result, list)
        ]
        if sizes:
            self._groups += 1
            self._writes += len(sizes)
            self._messages += sum(sizes)

    def add_to(self, stats: PoolStats) -> PoolStats:
        """Return statistics of the pool with these counts."""
        return msgspec.structs.replace(
            stats,
            groups_num=self._groups,
            group_writes_num=self._writes,
            group_messages_num=self._messages,
        )

"""The claim of one partition by one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class PartitionClaim:
    """A claim, which is held until the process knows that it may be another one's.

    Args:
        number: the partition's number.
        epoch: how often the partition was claimed, this claim included.
        is_alive: returns False when others may have what the process owns.
        limit: the global position up to which it is run, while the number of partitions changes;
            None for no limit.

    Attributes:
        number: the same.
        epoch: the same.
        limit: the same.
        is_lost: True if it is known to be lost.
    """

    def __init__(
        self, number: int, epoch: int, is_alive: Callable[[], bool], limit: int | None = None
    ) -> None:
        self.number = number
        self.epoch = epoch
        self.limit = limit
        self.is_lost = False
        self._is_alive = is_alive

    @property
    def is_held(self) -> bool:
        """True unless another process may own the partition."""
        return not self.is_lost and self._is_alive()

    def check_held(self) -> bool:
        """Return ``is_held``."""
        return not self.is_lost and self._is_alive()

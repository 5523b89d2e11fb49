"""A write that waits for its group, and the outcomes that it can have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    import psycopg

    from .._errors import MessageDBError
    from .._operations.category_locks import CategoryLock
    from .._operations.requests import WriteRequest


class SentAlone(msgspec.Struct, frozen=True):
    """The outcome of a write that its caller is to send by itself.

    Attributes:
        lost_error: the reason why the outcome in the group is unknown; None if the group was
            certainly not stored.
    """

    lost_error: psycopg.Error | None = None


class LockNotFree(msgspec.Struct, frozen=True):
    """The outcome of a write whose category is locked by another session: it is not written."""


LOCK_NOT_FREE: Final = LockNotFree()
SEND_ALONE: Final = SentAlone()

if TYPE_CHECKING:
    Outcome = list[int] | MessageDBError | SentAlone
    """The positions, or the error to raise, or an order to the caller."""


class PendingWrite:
    """A write that waits until it is sent in a group.

    Who sends it claims it first: in one step, so that only one can. A write that was found to wait
    for the lock of its category is released, and then claimed once more.

    Attributes:
        write: the write.
        deadline: when it must have ended, by the clock of ``time.monotonic``.
        lock: the lock of its category.
        size: the number of characters of its messages, about.
        place: the way in which its caller waits.
        is_dropped: whether its caller does not wait any more.
    """

    __slots__ = ("_claims", "_turn", "deadline", "is_dropped", "lock", "place", "size", "write")

    def __init__(
        self, write: WriteRequest, deadline: float, lock: CategoryLock, size: int, place: Any
    ) -> None:
        self.write = write
        self.deadline = deadline
        self.lock = lock
        self.size = size
        self.place = place
        self.is_dropped = False
        self._turn = 0
        self._claims: dict[int, object] = {}

    @property
    def owner(self) -> object:
        """The group that has claimed it, None if it waits."""
        return self._claims.get(self._turn)

    @property
    def is_waiting(self) -> bool:
        """True if a group may claim it."""
        return not self.is_dropped and self._turn not in self._claims

    def claim(self, owner: object) -> bool:
        """Claim it for a group; return False if another one has it, or its caller is gone."""
        if self.is_dropped:
            return False
        return self._claims.setdefault(self._turn, owner) is owner

    def release(self) -> None:
        """Let another group claim it: the one that had it has written nothing."""
        self._turn += 1

    def drop(self) -> None:
        """Let no group send it that has not claimed it yet."""
        self.is_dropped = True

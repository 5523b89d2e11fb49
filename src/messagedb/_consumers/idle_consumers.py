"""The consumers of a client that wait for messages, and which of them looks for all. No I/O."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PATIENCE_SECONDS: Final = 5.0
"""So long after the look that should have come a consumer reads by itself."""

OWN_READ_SECONDS: Final = 300.0
"""Within this time each consumer reads by itself, whatever the looks have found."""

PAUSE_SECONDS: Final = 60.0
"""For this time nothing is shared after a look that the server refused."""


class Heads(msgspec.Struct, frozen=True):
    """The last global positions in the store at one moment.

    Attributes:
        by_category: those of categories. One without messages is left out.
        store: that of the whole store, 0 for none.
        history: the client's number for the server's history.
    """

    by_category: Mapping[str, int]
    store: int
    history: int


class IdleConsumer:
    """A consumer that has read everything up to a position, and waits for more.

    Its own position is compared with the head. So it is exact, and not only a hint: a message after
    the position is in the store if and only if the head is after the position, also if the message
    became visible after one with a later position in another category.

    Args:
        category: its category; None if it reads the whole store.
        position: the global position up to which it has read.
        history: the number of the server's history that its last message was read in; None if it
            has none.
        now: the time at which it begins to wait.
        get_delay: returns the seconds until the next look, each time that nothing was found.
        wake: lets it read.
        note_head: is called with the head if nothing was found.
    """

    __slots__ = (
        "_get_delay",
        "_history",
        "_note_head",
        "_position",
        "_reads_by",
        "category",
        "delay",
        "looked_at",
        "wake",
    )

    def __init__(
        self,
        category: str | None,
        position: int,
        history: int | None,
        now: float,
        get_delay: Callable[[], float],
        wake: Callable[[], object],
        note_head: Callable[[int], object],
    ) -> None:
        self.category = category
        self.looked_at = now
        self.delay = get_delay()
        self.wake = wake
        self._position = position
        self._history = history
        self._get_delay = get_delay
        self._note_head = note_head
        # At random, so that those that started together do not read together.
        self._reads_by = now + OWN_READ_SECONDS * random.uniform(0.5, 1.0)

    @property
    def due_at(self) -> float:
        """The time of its next look."""
        return self.looked_at + self.delay

    @property
    def reads_at(self) -> float:
        """The time at which it reads by itself, if there is no look before."""
        return min(self.due_at + PATIENCE_SECONDS, self._reads_by)

    def note_look(self, heads: Heads, now: float) -> None:
        """Wake it if there is something to read, or if its store may have lost messages.

        Args:
            heads: what the look found.
            now: the time at which the look began.
        """
        head = heads.store if self.category is None else heads.by_category.get(self.category, 0)
        has_history_changed = self._history is not None and self._history != heads.history
        if head > self._position or has_history_changed:
            self.wake()
            return
        self.looked_at, self.delay = now, self._get_delay()
        self._note_head(head)


class IdleConsumers:
    """The waiting consumers of one client: the one whose turn comes first looks for all.

    The others wait longer. Threads may share it: if two of them look, each look is correct.
    """

    def __init__(self) -> None:
        self._waiting: dict[IdleConsumer, None] = {}
        self._looker: IdleConsumer | None = None
        self._next_look_at = 0.0

    def add(self, idle: IdleConsumer) -> None:
        """Add a consumer that begins to wait."""
        self._waiting[idle] = None

    def remove(self, idle: IdleConsumer) -> None:
        """Remove a consumer; wake another one if it looked for all, so that this one does."""
        self._waiting.pop(idle, None)
        if self._looker is idle:
            self._looker = None
            for successor in tuple(self._waiting):
                successor.wake()
                break

    def find_turn(self, idle: IdleConsumer) -> float:
        """Return the time until which a consumer waits: for its look, or for that of another."""
        if self._looker not in (None, idle) and idle.due_at >= self._next_look_at:
            return idle.reads_at
        self._looker = idle
        self._next_look_at = min(each.due_at for each in tuple(self._waiting))
        return min(self._next_look_at, idle.reads_at)

    def is_turn(self, idle: IdleConsumer, now: float) -> bool:
        """Return True if a consumer is to look for all now."""
        return self._looker is idle and now >= self._next_look_at

    def select_due(self, now: float) -> list[IdleConsumer]:
        """Return the consumers to look for now: also those that are due soon, so that they join.

        One that has waited for less than half of its interval is left to a later look: otherwise
        one with a short interval would cause a look for all of them each time.
        """
        return [idle for idle in tuple(self._waiting) if now >= idle.looked_at + idle.delay / 2]

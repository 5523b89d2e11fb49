"""The messages that an operation has sent, and those that were acknowledged."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from messagedb import NewMessage

SEEDS = 5
"""The number of messages that each category has before its operation."""

_numbers: Iterator[int] = itertools.count(1)


class Ledger:
    """Messages with marks, which no other message of the run has: so a second copy is found.

    Attributes:
        seeds: the marks of the messages that were there before.
        sent: the marks of the messages that were sent, without a known outcome.
        acknowledged: the marks of the messages whose write was successful.
    """

    def __init__(self, category: str) -> None:
        self.seeds = [f"{category}-seed{number}" for number in range(SEEDS)]
        self.sent: list[str] = []
        self.acknowledged: list[str] = []
        self._messages: list[NewMessage] = []

    def mark(self) -> str:
        """Return a new mark, and count it as sent."""
        mark = f"mark{next(_numbers)}"
        self.sent.append(mark)
        return mark

    def messages(self, count: int) -> list[NewMessage]:
        """Return messages of this ledger: the same ones each time."""
        while len(self._messages) < count:
            self._messages.append(NewMessage("Marked", {"mark": self.mark()}))
        return self._messages[:count]

    def acknowledge(self) -> None:
        """Count all that was sent as acknowledged."""
        self.acknowledged += self.sent
        self.sent = []

"""The messages that an operation has sent, and those that were acknowledged."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from messagedb import MessageDBError, NewMessage, OutcomeUnknownError

SEEDS = 5
"""The number of messages that each category has before its operation."""

_numbers: Iterator[int] = itertools.count(1)


class Ledger:
    """Messages with marks, which no other message of the run has: so a second copy is found.

    Attributes:
        seeds: the marks of the messages that were there before.
        sent: the marks of the messages that were sent, without a known outcome.
        acknowledged: the marks of the messages whose write was successful.
        refused: the errors that say that a message is not stored, by its mark: of operations with
            several writes, which have an outcome each.
        unknown: the errors that say that it is not known, with the marks of their messages.
    """

    def __init__(self, category: str) -> None:
        self.seeds = [f"{category}-seed{number}" for number in range(SEEDS)]
        self.sent: list[str] = []
        self.acknowledged: list[str] = []
        self.refused: dict[str, Exception] = {}
        self.unknown: list[tuple[list[str], OutcomeUnknownError]] = []
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

    def settle(self, marks: list[str], error: Exception | None) -> None:
        """Note the outcome of one of several writes: of the messages with these marks."""
        if isinstance(error, OutcomeUnknownError):
            self.unknown.append((marks, error))
            return
        for mark in marks:
            self.sent.remove(mark)
            if error is None:
                self.acknowledged.append(mark)
            else:
                self.refused[mark] = error

    def raise_first(self) -> None:
        """Raise the error of several writes that says least, if there is one."""
        errors: list[Exception] = [error for _, error in self.unknown]
        errors += self.refused.values()
        errors.sort(key=lambda error: isinstance(error, MessageDBError))
        if errors:
            raise errors[0]

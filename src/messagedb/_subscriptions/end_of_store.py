"""The end of several categories at one moment, and the messages that became visible after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._messages.message import Message


class StoreEnd:
    """The visible end of a store at one moment. It decides, and does no I/O.

    A writer holds its category's lock from before it gets a position until its commit. So messages
    of a category that were not visible have positions after those that were. This does not hold
    for the whole store: a message of an open transaction may have a position before the store's
    head.

    Args:
        heads: the last position of each category, at one moment.
        head: the last position of the store, at the same moment.

    Attributes:
        head: the last position of the store.
    """

    def __init__(self, heads: Mapping[str, int], head: int) -> None:
        self.head = head
        self._heads = heads

    def get_heads(self, categories: Iterable[str]) -> dict[str, int]:
        """Return the last visible position of each of some categories, 0 for none."""
        return {category: self._heads.get(category, 0) for category in categories}

    def compute_position(self, first: int | None) -> int:
        """Return the position before all messages that were not visible.

        Args:
            first: the first message after the heads of the categories, when all transactions that
                were writing have ended.
        """
        return self.head if first is None else min(first - 1, self.head)

    def select_later_messages(self, messages: list[Message[Any]]) -> list[Message[Any]]:
        """Return the messages that were not visible at that moment."""
        if not messages or messages[0].global_position > self.head:
            return messages
        heads = self._heads
        return [
            message
            for message in messages
            if message.global_position > heads.get(message.stream_name.partition("-")[0], 0)
        ]

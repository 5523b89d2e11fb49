"""The end of several categories: what was there at a moment, and what came to light behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._messages.message import Message


class End:
    """What could be seen of a store at one moment. It decides, and does no I/O.

    Whoever writes to a category holds its lock from before it has a position to its commit, so that
    what could not be seen of a category has positions behind those that could. Of the whole store
    that is not so: what a transaction that was open has written may be before the store's head.

    Args:
        heads: the last position of each category, at one moment.
        head: the last position of the store, at the same moment.

    Attributes:
        head: that.
    """

    def __init__(self, heads: Mapping[str, int], head: int) -> None:
        self.head = head
        self._heads = heads

    def positions(self, categories: Iterable[str]) -> dict[str, int]:
        """Give the last position that could be seen, of each of some categories, 0 for none."""
        return {category: self._heads.get(category, 0) for category in categories}

    def position(self, first: int | None) -> int:
        """Give the position behind which all that could not be seen is.

        Args:
            first: the first message behind the heads of the categories, when all who were writing
                have ended.
        """
        return self.head if first is None else min(first - 1, self.head)

    def messages_after(self, messages: list[Message[Any]]) -> list[Message[Any]]:
        """Give those of the messages that could not be seen."""
        if not messages or messages[0].global_position > self.head:
            return messages
        heads = self._heads
        return [
            message
            for message in messages
            if message.global_position > heads.get(message.stream_name.partition("-")[0], 0)
        ]

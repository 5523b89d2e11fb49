"""The locks of the categories, under which all writes are done, and the marks of who holds them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from .. import streams
from .._sql.statements import LOCK, LOCK_AND_MARK, Statement

if TYPE_CHECKING:
    from collections.abc import Iterable


class CategoryLock(NamedTuple):
    """The advisory lock of a category.

    Attributes:
        key: the key of the lock, as the server's ``acquire_lock`` takes it.
        mark: what is in the setting of a transaction that has taken the lock and marked it.
    """

    key: int
    mark: str

    def take(self) -> Statement:
        """The statement that takes it until the transaction ends."""
        return Statement(LOCK, (self.key,))

    def take_and_mark(self) -> Statement:
        """The statement that takes it and tells the statements that follow in the transaction."""
        return Statement(LOCK_AND_MARK, (self.key, self.mark))


def lock_of(stream_name: str) -> CategoryLock:
    """The lock of a stream's category."""
    return _lock_of_category(streams.category(stream_name))


@lru_cache(maxsize=4096)
def _lock_of_category(category: str) -> CategoryLock:
    key = streams.hash_64(category)
    return CategoryLock(key, f"|{key}|")


def in_safe_order(categories: Iterable[str]) -> tuple[CategoryLock, ...]:
    """The locks of categories, once each, in the order in which every transaction takes them."""
    return tuple(sorted({_lock_of_category(category) for category in categories}))

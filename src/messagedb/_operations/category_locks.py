"""The locks of the categories, held by all writes, and the marks of their transactions."""

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
        key: the key of the lock, as in the server's ``acquire_lock``.
        mark: a part of a setting in transactions that have acquired the lock and marked it.
    """

    key: int
    mark: str

    def take(self) -> Statement:
        """Return the statement that acquires it until the transaction ends."""
        return Statement(LOCK, (self.key,))

    def take_and_mark(self) -> Statement:
        """Return the statement that acquires and marks it for later statements of a transaction."""
        return Statement(LOCK_AND_MARK, (self.key, self.mark))


def lock_of(stream_name: str) -> CategoryLock:
    """Return the lock of a stream's category."""
    return _lock_of_category(streams.category(stream_name))


@lru_cache(maxsize=4096)
def _lock_of_category(category: str) -> CategoryLock:
    key = streams.hash_64(category)
    return CategoryLock(key, f"|{key}|")


def in_safe_order(categories: Iterable[str]) -> tuple[CategoryLock, ...]:
    """Return the locks of categories, each once, in the order in which every transaction locks."""
    return tuple(sorted({_lock_of_category(category) for category in categories}))

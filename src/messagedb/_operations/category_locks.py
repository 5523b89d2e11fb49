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

    def build_statement(self) -> Statement:
        """Return the statement that acquires it until the transaction ends."""
        return Statement(LOCK, (self.key,))

    def build_recording_statement(self) -> Statement:
        """Return the statement that acquires and marks it for later statements of a transaction."""
        return Statement(LOCK_AND_MARK, (self.key, self.mark))


def get_category_lock(stream_name: str) -> CategoryLock:
    """Return the lock of a stream's category."""
    return _build_lock(streams.category(stream_name))


@lru_cache(maxsize=4096)
def _build_lock(category: str) -> CategoryLock:
    key = streams.hash_64(category)
    return CategoryLock(key, f"|{key}|")


def sort_for_locking(categories: Iterable[str]) -> tuple[CategoryLock, ...]:
    """Return the locks of categories, each once, in the order in which every transaction locks."""
    return tuple(sorted({_build_lock(category) for category in categories}))

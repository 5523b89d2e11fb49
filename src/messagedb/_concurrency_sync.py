"""What differs between the halves beyond words, for the sync one: see _concurrency_async."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from psycopg_pool.pool import AddConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg_pool import ConnectionPool

__all__ = ["AddConnection", "Lock", "give_back", "run_blocking"]

P = ParamSpec("P")
R = TypeVar("R")

Lock = threading.Lock


def run_blocking(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that blocks."""
    return function(*args, **kwargs)


def give_back(pool: ConnectionPool[Any], conn: Any) -> None:
    """Return a connection to its pool."""
    pool.putconn(conn)

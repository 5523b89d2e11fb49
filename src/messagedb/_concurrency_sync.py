"""What differs between the halves beyond words, for the sync one: see _concurrency_async."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from psycopg_pool.pool import AddConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg_pool import ConnectionPool

__all__ = [
    "AddConnection",
    "Lock",
    "get_blocking",
    "give_back",
    "here",
    "run_blocking",
    "sleep",
    "worker_queue",
]

P = ParamSpec("P")
R = TypeVar("R")

Lock = threading.Lock
sleep = time.sleep


def run_blocking(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that blocks."""
    return function(*args, **kwargs)


def get_blocking(function: Callable[[], R], undo: Callable[[R], object]) -> R:
    """Get something from a function that blocks."""
    return function()


def here() -> object:
    """What a client may be used from: anywhere."""
    return None


def worker_queue(queue: Any) -> Any:
    """The queue for a worker of psycopg's pool: threads are not cancelled."""
    return queue


def give_back(pool: ConnectionPool[Any], conn: Any) -> None:
    """Return a connection to its pool."""
    pool.putconn(conn)

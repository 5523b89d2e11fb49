"""What differs between the halves beyond words, for the async one: see _concurrency_sync."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from psycopg_pool.pool_async import AddConnection, ReturnConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg_pool import AsyncConnectionPool

__all__ = ["AddConnection", "Lock", "give_back", "run_blocking"]

P = ParamSpec("P")
R = TypeVar("R")

Lock = asyncio.Lock


async def run_blocking(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that blocks, without blocking the event loop."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def give_back(pool: AsyncConnectionPool[Any], conn: Any) -> None:
    """Return a connection to its pool, also when the task is cancelled while it does so."""
    try:
        await pool.putconn(conn)
    except asyncio.CancelledError:
        # The pool was waiting for its own lock: the connection is in nobody's hands. A worker of
        # the pool takes it.
        pool.run_task(ReturnConnection(pool, conn, from_getconn=False))
        raise

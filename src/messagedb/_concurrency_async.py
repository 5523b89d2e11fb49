"""What differs between the halves beyond words, for the async one: see _concurrency_sync."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from psycopg_pool.pool_async import AddConnection, ReturnConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg_pool import AsyncConnectionPool

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

Lock = asyncio.Lock
sleep = asyncio.sleep


async def run_blocking(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that blocks, without blocking the event loop."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def get_blocking(function: Callable[[], R], undo: Callable[[R], object]) -> R:
    """Get something from a function that blocks; undo it if nobody waits for it any more."""
    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(None, function)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:

        def undo_late(done: asyncio.Future[R]) -> None:
            if not done.cancelled() and done.exception() is None:
                loop.run_in_executor(None, undo, done.result())

        future.add_done_callback(undo_late)
        raise


def here() -> object:
    """What a client may be used from: the event loop that runs."""
    return asyncio.get_running_loop()


class _WorkerQueue:
    """A queue that ends a cancelled worker, which may have swallowed its cancellation elsewhere."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    async def get(self) -> Any:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        return await self._queue.get()


def worker_queue(queue: Any) -> Any:
    """The queue for a worker of psycopg's pool.

    The pool's own catches a cancellation while it connects, and goes on: ``asyncio.run`` would wait
    for it for ever.
    """
    return _WorkerQueue(queue)


async def give_back(pool: AsyncConnectionPool[Any], conn: Any) -> None:
    """Return a connection to its pool, also when the task is cancelled while it does so."""
    try:
        await pool.putconn(conn)
    except asyncio.CancelledError:
        # The pool was waiting for its own lock: the connection is in nobody's hands. A worker of
        # the pool takes it.
        pool.run_task(ReturnConnection(pool, conn, from_getconn=False))
        raise

"""The parts of psycopg's pool that differ between the halves, for the async one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from psycopg_pool.pool_async import AddConnection, MaintenanceTask, ReturnConnection, WaitingClient

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool

__all__ = [
    "AddConnection",
    "MaintenanceTask",
    "WaitingClient",
    "give_back",
    "task_queue",
    "worker_queue",
]


def task_queue(queue: Any) -> Any:
    """The queue of the pool's tasks: its own."""
    return queue


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

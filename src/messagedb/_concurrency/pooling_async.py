"""The parts of psycopg's pool that differ between the variants, for the async one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from psycopg_pool import PoolTimeout
from psycopg_pool.pool_async import AddConnection, MaintenanceTask, ReturnConnection

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool

__all__ = [
    "AddConnection",
    "MaintenanceTask",
    "WaitingClient",
    "get_task_queue",
    "get_worker_queue",
    "return_connection",
]


class WaitingClient:
    """A place in the queue for a connection.

    The pool's own class waits with ``asyncio.wait_for``, which before Python 3.12 swallows a
    cancellation that comes at the same moment as the connection.

    Attributes:
        conn: the connection that was assigned, if there is one.
    """

    def __init__(self) -> None:
        self.conn: Any = None
        self._outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def wait(self, timeout: float) -> Any:
        """Wait for a connection.

        Raises:
            PoolTimeout: none came in time.
            PoolClosed: the pool was closed.
        """
        timeout_error = PoolTimeout(f"couldn't get a connection after {timeout:.2f} sec")
        timer = asyncio.get_running_loop().call_later(timeout, self._set_error, timeout_error)
        try:
            return await self._outcome
        finally:
            timer.cancel()

    async def set(self, conn: Any) -> bool:
        """Assign a connection; return True if it is accepted."""
        if self._outcome.done():
            return False
        self.conn = conn
        self._outcome.set_result(conn)
        return True

    async def fail(self, error: Exception) -> bool:
        """Report that there is no connection; return True if the caller was still waiting."""
        return self._set_error(error)

    def _set_error(self, error: Exception) -> bool:
        if self._outcome.done():
            return False
        self._outcome.set_exception(error)
        return True


def get_task_queue(queue: Any) -> Any:
    """Return the queue of the pool's tasks: its own."""
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


def get_worker_queue(queue: Any) -> Any:
    """Return the queue for a worker of psycopg's pool.

    The pool's own worker catches a cancellation while it connects, and continues: ``asyncio.run``
    would wait for it forever.
    """
    return _WorkerQueue(queue)


async def return_connection(pool: AsyncConnectionPool[Any], conn: Any) -> None:
    """Return a connection to its pool, also when the task is cancelled while it does so."""
    try:
        await pool.putconn(conn)
    except asyncio.CancelledError:
        # The pool was waiting for its own lock, so the connection has no owner. A worker of the
        # pool takes it.
        pool.run_task(ReturnConnection(pool, conn, from_getconn=False))
        raise

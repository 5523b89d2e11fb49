"""The parts of psycopg's pool that differ between the variants, for the sync one.

A signal's handler may raise between any two instructions of the main thread. If that happens
inside ``threading.Condition`` or ``queue.Queue``, their lock is never released: these classes
do not use them.
"""

from __future__ import annotations

import queue
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from psycopg_pool import PoolTimeout
from psycopg_pool.pool import AddConnection, MaintenanceTask

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

__all__ = [
    "AddConnection",
    "MaintenanceTask",
    "WaitingClient",
    "get_task_queue",
    "get_worker_queue",
    "return_connection",
]

# A lost wake-up is detected after so many seconds.
_CHECK_SECONDS = 0.25


class WaitingClient:
    """A place in the queue for a connection."""

    def __init__(self) -> None:
        # The first to set it decides: setdefault is one step, which nothing interrupts.
        self._outcome: dict[int, Any] = {}
        self._woken = threading.Lock()
        self._woken.acquire()

    @property
    def conn(self) -> Any:
        """The connection that was assigned, if there is one."""
        outcome = self._outcome.get(0)
        return None if isinstance(outcome, BaseException) else outcome

    def wait(self, timeout: float) -> Any:
        """Wait for a connection.

        Raises:
            PoolTimeout: none came in time.
            PoolClosed: the pool was closed.
        """
        deadline = monotonic() + timeout
        try:
            while not self._outcome and (remaining := deadline - monotonic()) > 0:
                self._woken.acquire(timeout=min(remaining, _CHECK_SECONDS))
            timeout_error = PoolTimeout(f"couldn't get a connection after {timeout:.2f} sec")
            outcome = self._outcome.setdefault(0, timeout_error)
        except BaseException as error:
            # From now on no connection may be assigned.
            self._outcome.setdefault(0, error)
            raise
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def set(self, conn: Any) -> bool:
        """Assign a connection; return True if it is accepted."""
        return self._set_outcome(conn)

    def fail(self, error: Exception) -> bool:
        """Report that there is no connection; return True if the caller was still waiting."""
        return self._set_outcome(error)

    def _set_outcome(self, outcome: Any) -> bool:
        if self._outcome.setdefault(0, outcome) is not outcome:
            return False
        self._woken.release()
        return True


def get_task_queue(queue_of_pool: Any) -> Any:
    """Return the queue of the pool's tasks: one that takes them in a single step."""
    return queue.SimpleQueue[Any]()


def get_worker_queue(queue_of_pool: Any) -> Any:
    """Return the queue for a worker of the pool: threads are not cancelled."""
    return queue_of_pool


def return_connection(pool: ConnectionPool[Any], conn: Any) -> None:
    """Return a connection to its pool."""
    pool.putconn(conn)

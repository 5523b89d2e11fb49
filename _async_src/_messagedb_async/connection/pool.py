"""The client's own pool: psycopg's, which replaces lost connections."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import ref

from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

from messagedb._concurrency.pooling_async import (
    AddConnection,
    MaintenanceTask,
    WaitingClient,
    get_task_queue,
    get_worker_queue,
)

from .connection import AsyncStoreConnection

if TYPE_CHECKING:
    from psycopg import AsyncConnection

# pyright: reportPrivateUsage=false, reportUnknownMemberType=false

# An attempt to reconnect is never delayed longer: the pool serves again soon after the server does.
_MAX_RECONNECT_DELAY = 1.0


class AsyncStorePool(AsyncConnectionPool[AsyncStoreConnection]):
    """psycopg's pool, but quick to reconnect, and complete after any interruption of its users.

    An exception of a signal's handler can be raised between any two steps, so that a connection may
    have no owner, or be returned and replaced twice. Here each connection is known by a weak
    reference from its creation on. One that is closed, given up or collected is replaced for that
    reference, once.

    All private names of psycopg_pool that are used are in this file and in ``_pooling_async``.
    """

    def __init__(self, conninfo: str, **options: Any) -> None:
        self._known: set[ref[AsyncStoreConnection]] = set()
        # Collected connections: recorded in one step, in the thread in which that happened.
        self._lost: list[ref[AsyncStoreConnection]] = []
        super().__init__(conninfo, **options)

    @classmethod
    async def worker(cls, q: Any) -> None:
        """Run maintenance tasks."""
        await super().worker(get_worker_queue(q))

    def _start_workers(self) -> None:
        self._tasks = get_task_queue(self._tasks)
        super()._start_workers()

    async def schedule_task(self, task: Any, delay: float) -> None:
        """Run a maintenance task later; a new attempt to connect within a second."""
        if isinstance(task, AddConnection):
            delay = min(delay, _MAX_RECONNECT_DELAY)
        await super().schedule_task(task, delay)

    async def drain(self) -> None:
        """Replace all connections: those in the pool now, those in use when they are returned."""
        async with self._lock:
            self._drained_at = monotonic()
            conns = list(self._pool)
            self._pool.clear()
        for conn in conns:
            await self._retire(conn)

    async def replace(self, known: ref[AsyncStoreConnection] | None) -> None:
        """Open a connection instead of another, if that was not done yet."""
        try:
            self._known.remove(known)  # type: ignore[arg-type]
        except KeyError:
            return
        await self._add_connection(None)

    async def grow(self) -> None:
        """Open one connection more, if there is room, and none is being opened."""
        async with self._lock:
            if self._nconns >= self._max_size or self._growing:
                return
            self._growing = True
            self._nconns += 1
        await self._add_connection(None, growing=True)

    async def _getconn_unchecked(self, timeout: float) -> AsyncStoreConnection:
        place: Any = None
        async with self._lock:
            self._replace_missing()
            conn = await self._get_ready_connection(timeout)
            if conn is None:
                place = WaitingClient()
                self._waiting.append(place)
                self._stats[self._REQUESTS_QUEUED] += 1
                self._maybe_grow_pool()
                self._replace_closed()
        if conn is None:
            begun = monotonic()
            try:
                conn = await place.wait(timeout)
            except BaseException:
                self._stats[self._REQUESTS_ERRORS] += 1
                if place.conn is not None:
                    await self._return_connection(place.conn, from_getconn=True)
                raise
            finally:
                self._stats[self._REQUESTS_WAIT_MS] += int(1000.0 * (monotonic() - begun))
        given: AsyncStoreConnection = conn
        given._pool = self
        return given

    def _replace_missing(self) -> None:
        """Replace lost connections."""
        while self._lost:
            self.run_task(ReplaceConnection(self, self._lost[0]))
            del self._lost[0]

    def _replace_closed(self) -> None:
        """Replace closed connections: a kept error may keep them from being collected."""
        for known in list(self._known):
            conn = known()
            if conn is not None and conn.closed and conn not in self._pool:
                self.run_task(ReplaceConnection(self, known))

    def _maybe_grow_pool(self) -> None:
        if self._nconns < self._max_size and not self._growing:
            self.run_task(GrowPool(self))

    async def _return_connection(self, conn: AsyncStoreConnection, from_getconn: bool) -> None:
        status = conn.pgconn.transaction_status
        if status == TransactionStatus.UNKNOWN:
            self._stats[self._RETURNS_BAD] += 1
        if (
            status != TransactionStatus.IDLE
            or conn._created_at <= self._drained_at
            or conn._expire_at <= monotonic()
        ):
            await self._retire(conn)
        else:
            await self._add_to_pool(conn)

    async def _retire(self, conn: AsyncStoreConnection) -> None:
        """Close a connection, and have it replaced."""
        conn._pool = None
        await conn.close()
        self.run_task(ReplaceConnection(self, conn.known_processes))

    async def _add_to_pool(self, conn: AsyncStoreConnection) -> None:
        if conn.known_processes is None:
            conn.known_processes = ref(conn, self._lost.append)
            self._known.add(conn.known_processes)
        conn._pool = None
        async with self._lock:
            if not self._closed:
                while self._waiting:
                    # It leaves the queue when it has the connection, so that it gets it in any
                    # case.
                    is_taken = await self._waiting[0].set(conn)
                    self._waiting.popleft()
                    if is_taken:
                        return
                self._pool.append(conn)
                if self._pool_full_event and len(self._pool) >= self._min_size:
                    self._pool_full_event.set()
                return
        await self._close_connection(conn)

    async def _close_connection(self, conn: AsyncStoreConnection) -> None:
        """Close a connection for good: the pool is smaller by one."""
        if conn.known_processes is not None:
            self._known.discard(conn.known_processes)
        await super()._close_connection(conn)


class ReplaceConnection(MaintenanceTask):
    """Open a connection instead of one that is gone."""

    def __init__(self, pool: AsyncStorePool, known: ref[AsyncStoreConnection] | None) -> None:
        super().__init__(pool)
        self._known = known

    async def _run(self, pool: Any) -> None:
        await pool.replace(self._known)


class GrowPool(MaintenanceTask):
    """Open one connection more."""

    async def _run(self, pool: Any) -> None:
        await pool.grow()


async def connect_outside(pool: AsyncConnectionPool[Any]) -> AsyncConnection[Any]:
    """Open a connection like those of a pool, but outside of it.

    Raises:
        psycopg.Error: it could not be opened.
        UnicodeError: the host's name is invalid.
    """
    conn: Any = await pool._connect()
    conn._pool = None
    own: AsyncConnection[Any] = conn
    return own

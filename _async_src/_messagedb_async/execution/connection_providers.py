"""Sources of a client's connections: its own pool, or a borrowed one."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from messagedb._concurrency.backend_async import get_owner
from messagedb._concurrency.pooling_async import return_connection
from messagedb._connection import server_info
from messagedb._connection.conninfo import describe_target
from messagedb._connection.error_mapping import connect_error, map_error
from messagedb._connection.settings import RESPONSE_GRACE_SECONDS
from messagedb._errors import PoolTimeoutError, StoreUnavailableError, ValidationError
from messagedb._operations.dialect import Dialect

from ..connection.connection import AsyncStoreConnection, is_reusable
from ..connection.inspection import inspect_server
from ..connection.pool import AsyncStorePool, connect_outside
from .executors import AsyncAutocommitExecutor, AsyncTransactionPerCallExecutor
from .joined_executor import AsyncJoinedExecutor
from .waiting_commits import AsyncWaitingCommits

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from messagedb._connection.session_config import SessionConfig

    from .executors import AsyncExecutor, AsyncPoolExecutor


class AsyncConnectionProvider(ABC):
    """An open pool, the properties of its server, and the way in which operations run on it.

    Attributes:
        pool: the pool.
        session_config: the client's settings, and properties of its connections.
        dialect: the statements that the server supports.
        executor_class: the executor of operations outside of transactions.
        waiting: the connections of the pool whose commit got no response in time.
    """

    dialect: Dialect
    executor_class: type[AsyncPoolExecutor] = AsyncTransactionPerCallExecutor
    _closed_text: str

    def __init__(self, pool: AsyncConnectionPool[Any], session_config: SessionConfig) -> None:
        self.pool = pool
        self.session_config = session_config
        self.waiting: AsyncWaitingCommits = AsyncWaitingCommits(pool, session_config, self.connect)
        self._owner = get_owner()

    async def acquire(self, deadline: float) -> AsyncPoolExecutor:
        """Acquire a connection for an operation that must end by the deadline.

        Raises:
            ValidationError: the pool was opened elsewhere, and cannot be used from here.
            PoolTimeoutError: none became free in time. Nothing was sent.
            StoreUnavailableError: the pool is closed. Nothing was sent.
        """
        return self.executor_class(self.dialect, await self._acquire_connection(deadline))

    async def acquire_joined(self, deadline: float) -> AsyncJoinedExecutor:
        """Acquire a connection for a transaction. The errors are those of ``acquire``."""
        return AsyncJoinedExecutor(self.dialect, await self._acquire_connection(deadline))

    @abstractmethod
    async def _acquire_connection(self, deadline: float) -> Any: ...

    async def _get_connection(self, deadline: float) -> Any:
        if get_owner() is not self._owner:
            raise ValidationError(
                "this client belongs to another event loop: create one client per event loop."
                " Nothing was sent."
            )
        waiting = self.waiting
        if waiting.connections:
            waiting.ensure_watching()
        timeout = min(self.pool.timeout, deadline - RESPONSE_GRACE_SECONDS - monotonic())
        try:
            return await self.pool.getconn(timeout)
        except PoolTimeout as error:
            if len(waiting.connections) >= self.pool.max_size:
                raise self._all_waiting_error() from error
            raise self._none_free_error(timeout) from error
        except TooManyRequests as error:
            raise PoolTimeoutError(f"{error}. Nothing was sent.") from error
        except PoolClosed as error:
            raise StoreUnavailableError(
                f"{self._closed_text} ({error}). Nothing was sent."
            ) from error
        except (psycopg.Error, UnicodeError) as error:
            # A pool that connects on request, or checks its connections.
            raise connect_error(error, "the pool's server") from error

    def belongs_to_current_loop(self) -> bool:
        """Return True if this is where the pool was opened, and can be used."""
        return get_owner() is self._owner

    @abstractmethod
    async def reset_session(self, executor: AsyncExecutor) -> None:
        """Undo a user's settings on a connection of ours."""

    async def connect(self) -> AsyncConnection[Any]:
        """Open a connection like those of the pool, but outside of it.

        Raises:
            StoreUnavailableError: it could not be opened. Nothing was sent.
        """
        try:
            return await connect_outside(self.pool)
        except (psycopg.Error, UnicodeError) as error:
            raise connect_error(error, "the store") from error

    async def release(self, executor: AsyncExecutor) -> None:
        """Return the connection of an executor to the pool."""
        await self._release_connection(executor.connection)

    async def _release_connection(self, conn: Any) -> None:
        """Return a connection to the pool; close it first unless it can serve another operation."""
        if not is_reusable(conn):
            await conn.close()
        await return_connection(self.pool, conn)

    def _all_waiting_error(self) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"commits are waiting for a synchronous standby: all {self.pool.max_size} connections"
            " of the pool are in use by commits without a response. Nothing was sent. Start the"
            " standby, or let the server's administrator change synchronous_standby_names; then"
            " the connections become free by themselves."
        )

    def _none_free_error(self, timeout: float) -> PoolTimeoutError:
        seconds = f"{max(timeout, 0.0):.1f} s"
        last = self.session_config.last_error
        if last is None:
            error = PoolTimeoutError(
                f"no connection became free in {seconds}. Nothing was sent. All"
                f" {self.pool.max_size} connections are in use: raise the pool's max_size or"
                " timeout, or run fewer operations concurrently."
            )
            error.max_size = self.pool.max_size
            return error
        error = PoolTimeoutError(
            f"no connection could be opened in {seconds}; the last error: {last.text}."
            f" {last.advice} Nothing was sent."
        )
        error.is_transient = last.is_transient
        return error


class AsyncOwnPoolProvider(AsyncConnectionProvider):
    """The client's own pool: its connections have deadlines, and are set up when opened."""

    _closed_text = "the client was closed in between: create a new one"
    _drained_at = -math.inf

    def __init__(
        self, pool: AsyncConnectionPool[Any], session_config: SessionConfig, dialect: Dialect
    ) -> None:
        super().__init__(pool, session_config)
        self.dialect = dialect
        if session_config.session_settings:
            self.executor_class = AsyncAutocommitExecutor

    async def _acquire_connection(self, deadline: float) -> Any:
        conn = await self._get_connection(deadline)
        conn.deadline = deadline
        return conn

    async def reset_session(self, executor: AsyncExecutor) -> None:
        """Undo a user's settings on a connection, or close it."""
        conn = executor.connection
        try:
            await conn.reset_session(self.session_config)
        except psycopg.Error:
            await conn.close()
        except BaseException:
            # If the task is cancelled meanwhile, the server may have undone nothing, or a part.
            await conn.close()
            raise

    async def release(self, executor: AsyncExecutor) -> None:
        """Return a connection without its deadline, or keep it while a commit may wait.

        When the server did not respond on it, the pool's others are replaced: their network path
        may be broken, too, and each would cost an operation as much time to detect that. The same
        when it accepted no writes: a new connection finds the primary.
        """
        conn = executor.connection
        if conn.is_outdated:
            await conn.close()
        if conn.is_waiting and not conn.closed:
            self.waiting.add(conn)
        else:
            conn.deadline = math.inf
            conn.may_commit = False
            await self._release_connection(conn)
        if (conn.is_unresponsive or conn.is_outdated) and conn.created_at > self._drained_at:
            self._drained_at = monotonic()
            await self.pool.drain()


class AsyncBorrowedPoolProvider(AsyncConnectionProvider):
    """A pool that the application opened, and will close."""

    _closed_text = "the pool of the client is not open: open it first"

    def __init__(self, pool: AsyncConnectionPool[Any], session_config: SessionConfig) -> None:
        super().__init__(pool, session_config)
        # The connections in use whose owner has set autocommit off.
        self._without_autocommit: WeakSet[AsyncConnection[Any]] = WeakSet()

    async def open(self) -> None:
        """Inspect the server on a connection of the pool.

        Raises:
            StoreUnavailableError: the pool is not open, or had no free connection in time. Nothing
                was sent.
            IncompatibleServerError: the server cannot be used; the text says why.
        """
        session_config = self.session_config
        conn = await self._acquire_connection(session_config.compute_deadline())
        try:
            server = await inspect_server(conn, session_config)
        finally:
            await self._release_connection(conn)
        server_info.check_server(server, session_config.settings.schema)
        session_config.has_readable_history = server.has_known_history
        self.dialect = Dialect(session_config, server)

    async def reset_session(self, executor: AsyncExecutor) -> None:
        """Do nothing: the connection belongs to its owner."""

    async def _acquire_connection(self, deadline: float) -> Any:
        """Acquire a connection, and set it to begin no transaction by itself."""
        conn = await self._get_connection(deadline)
        try:
            server_info.check_client_encoding(conn.pgconn.parameter_status(b"client_encoding"))
            if conn.pgconn.transaction_status != TransactionStatus.IDLE:
                # Ends a transaction that a check of the pool's owner has left open.
                await conn.rollback()
            if not conn.autocommit:
                await conn.set_autocommit(True)
                self._without_autocommit.add(conn)
        except psycopg.Error as error:
            await super()._release_connection(conn)
            raise map_error(error, "Nothing was sent.") from error
        except BaseException:
            await super()._release_connection(conn)
            raise
        return conn

    async def _release_connection(self, conn: Any) -> None:
        """Return a connection as it was."""
        if conn in self._without_autocommit:
            self._without_autocommit.discard(conn)
            if is_reusable(conn):
                await conn.set_autocommit(False)
        await super()._release_connection(conn)


async def open_own(conninfo: str, session_config: SessionConfig) -> AsyncConnectionProvider:
    """Inspect the server on a separate connection, then open a pool of the client.

    Raises:
        StoreUnavailableError: no connection could be opened; the text says why. Nothing was sent.
        IncompatibleServerError: the server cannot be used; the text says why.
    """
    server_info.check_libpq()
    settings = session_config.settings
    arguments: dict[str, Any] = {
        "context": session_config,
        **session_config.connect_arguments(conninfo),
    }
    session_config.session_settings = False
    try:
        conn = await AsyncStoreConnection.connect(conninfo, **arguments)
    except (psycopg.Error, UnicodeError) as error:
        raise connect_error(error, describe_target(conninfo)) from error
    try:
        conn.deadline = session_config.compute_deadline()
        server = await inspect_server(conn, session_config)
        behind_pooler = server.backend_pid != conn.pgconn.backend_pid
    finally:
        await conn.close()
    server_info.check_server(server, settings.schema)
    session_config.has_readable_history = server.has_known_history
    session_config.session_settings = not (
        behind_pooler if settings.pooler is None else settings.pooler
    )
    pool = AsyncStorePool(
        conninfo,
        connection_class=AsyncStoreConnection,
        kwargs=arguments,
        min_size=settings.min_size,
        max_size=settings.max_size,
        timeout=settings.timeout,
        # Never give up: a pool that has given up reconnects only at the next request.
        reconnect_timeout=sys.float_info.max / 2,
        open=False,
    )
    await pool.open()
    return AsyncOwnPoolProvider(pool, session_config, Dialect(session_config, server))


async def open_borrowed(
    pool: AsyncConnectionPool[Any], session_config: SessionConfig
) -> AsyncConnectionProvider:
    """Inspect the server on a connection of a borrowed pool.

    Raises:
        StoreUnavailableError: the pool is not open, or had no free connection in time. Nothing was
            sent.
        IncompatibleServerError: the server cannot be used; the text says why.
    """
    server_info.check_libpq()
    provider = AsyncBorrowedPoolProvider(pool, session_config)
    await provider.open()
    return provider

"""Where a client's connections come from: a pool of its own, or one that it was lent."""

from __future__ import annotations

import math
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from messagedb._concurrency.backend_async import here
from messagedb._concurrency.pooling_async import give_back
from messagedb._connection import server_info
from messagedb._connection.conninfo import where
from messagedb._connection.error_mapping import NOTHING_READ, cannot_connect, translate
from messagedb._connection.settings import ANSWER_GRACE
from messagedb._errors import PoolTimeoutError, StoreUnavailableError, ValidationError
from messagedb._sql.statements import INSPECT, Statement

from ..connection.connection import AsyncStoreConnection, AsyncStoreCursor, is_clean
from ..connection.pool import AsyncStorePool, connect_beside
from ..connection.position_sequence import look
from .executors import AsyncLocalSession, AsyncOwnSession, AsyncPoolSession
from .waiting_commits import AsyncWaitingCommits

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from messagedb._connection.server_info import Server
    from messagedb._connection.session_config import Profile


class AsyncSource:
    """An open pool, what is known of the server behind it, and how operations run on it.

    Attributes:
        waiting: the connections of the pool whose commit was not answered in time.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        profile: Profile,
        server: Server,
        session: AsyncPoolSession,
    ) -> None:
        self.pool = pool
        self.profile = profile
        self.server = server
        self.session = session
        self.waiting = AsyncWaitingCommits(pool, profile, self.connect)
        self._home = here()

    async def acquire(self, deadline: float) -> Any:
        """Take a connection for an operation that must end by the deadline.

        Raises:
            ValidationError: the pool was opened elsewhere, and cannot be used from here.
            PoolTimeoutError: none became free in time. Nothing was sent.
            StoreUnavailableError: the pool is closed. Nothing was sent.
        """
        if not self.is_at_home():
            raise ValidationError(
                "the client was opened in another event loop, which its connections belong to: "
                "make a client in each. Nothing was sent."
            )
        if self.waiting.count:
            self.waiting.go_on()
        timeout = min(self.pool.timeout, deadline - ANSWER_GRACE - monotonic())
        try:
            return await self.pool.getconn(timeout)
        except PoolTimeout as error:
            if self.waiting.count >= self.pool.max_size:
                raise self._all_waiting() from error
            raise self._none_free(timeout) from error
        except TooManyRequests as error:
            raise PoolTimeoutError(f"{error}. Nothing was sent.") from error
        except PoolClosed as error:
            raise StoreUnavailableError(
                f"{self._why_closed} ({error}). Nothing was sent."
            ) from error
        except (psycopg.Error, UnicodeError) as error:
            # A pool that connects while it is asked, or checks its connections.
            raise cannot_connect(error, "the pool's server") from error

    _why_closed = "the client was closed in between: make a new one"

    def is_at_home(self) -> bool:
        """Whether this is where the pool was opened, and can be used."""
        return here() is self._home

    def limit(self, conn: Any, deadline: float) -> None:
        """Give a connection that was taken another deadline. One that is not ours has none."""

    def note(self, conn: Any, error: psycopg.Error) -> None:
        """Take note of what the server refused on a connection that was taken."""

    async def set_up_again(self, conn: Any) -> None:
        """Undo what a user may have set on a connection. One that is not ours is its owner's."""

    async def connect(self) -> AsyncConnection[Any]:
        """Make a connection like those of the pool, which is not the pool's.

        Raises:
            StoreUnavailableError: it could not be made. Nothing was sent.
        """
        try:
            return await connect_beside(self.pool)
        except (psycopg.Error, UnicodeError) as error:
            raise cannot_connect(error, "the store") from error

    def begin_write(self, conn: Any) -> None:
        """Take note that a commit may run on a connection. The wait of one not ours is not ours."""

    async def release(self, conn: Any) -> None:
        """Give a connection back; close it first unless it can serve another operation."""
        if not is_clean(conn):
            await conn.close()
        await give_back(self.pool, conn)

    def _all_waiting(self) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"commits are waiting for a synchronous standby: all {self.pool.max_size} connections "
            "of the pool are taken by commits that the server has not answered. Nothing was sent. "
            "Bring the standby back, or let the server's administrator change "
            "synchronous_standby_names; then the connections are free again by themselves."
        )

    def _none_free(self, timeout: float) -> PoolTimeoutError:
        seconds = f"{max(timeout, 0.0):.1f} s"
        last = self.profile.last_error
        if last is None:
            full = PoolTimeoutError(
                f"no connection became free in {seconds}. Nothing was sent. None of at most "
                f"{self.pool.max_size} connections was free: raise the pool's max_size or timeout, "
                "or do less at once."
            )
            full.max_size = self.pool.max_size
            return full
        late = PoolTimeoutError(
            f"no connection could be made in {seconds}; the last attempt said: {last.said}. "
            f"{last.advice} Nothing was sent."
        )
        late.is_transient = last.is_transient
        return late


class AsyncOwnSource(AsyncSource):
    """The client's own pool: its connections have deadlines, and are set up when made."""

    async def acquire(self, deadline: float) -> Any:
        """Take a connection, and give it the operation's deadline."""
        conn = await super().acquire(deadline)
        conn.deadline = deadline
        return conn

    def limit(self, conn: Any, deadline: float) -> None:
        """Give a connection that was taken another deadline."""
        conn.deadline = deadline

    def begin_write(self, conn: Any) -> None:
        """Take note that a commit may run on a connection: its deadline does not end that."""
        conn.may_commit = True

    def note(self, conn: Any, error: psycopg.Error) -> None:
        """Take note that a server takes no writes: it may have been the primary before."""
        if error.sqlstate == "25006":
            conn.is_outdated = True

    async def set_up_again(self, conn: Any) -> None:
        """Undo what a user has set on a connection, or close it."""
        try:
            await conn.set_up_again(self.profile)
        except psycopg.Error:
            await conn.close()
        except BaseException:
            # A task that is cancelled meanwhile: the server may have undone nothing, or a part.
            await conn.close()
            raise

    async def release(self, conn: Any) -> None:
        """Give a connection back without its deadline, or keep it while a commit may wait.

        When the server was silent on it, the pool's others are made anew: the way to the server may
        be gone for them, too, and each would cost an operation as much time to find that out. The
        same when it took no writes: what connects anew finds the primary.
        """
        if conn.is_outdated:
            await conn.close()
        if conn.is_waiting and not conn.closed:
            self.waiting.keep(conn)
        else:
            conn.deadline = math.inf
            conn.may_commit = False
            await super().release(conn)
        if (conn.fell_silent or conn.is_outdated) and conn.made_at > self._made_anew_at:
            self._made_anew_at = monotonic()
            await self.pool.drain()

    _made_anew_at = -math.inf


class AsyncBorrowedSource(AsyncSource):
    """A pool that somebody else opened, and will close."""

    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        profile: Profile,
        server: Server,
        session: AsyncPoolSession,
    ) -> None:
        super().__init__(pool, profile, server, session)
        # The connections in use whose autocommit mode is off as their owner has it.
        self._without_autocommit: WeakSet[AsyncConnection[Any]] = WeakSet()

    async def acquire(self, deadline: float) -> Any:
        """Take a connection, and have it begin no transaction by itself."""
        conn = await super().acquire(deadline)
        try:
            server_info.check_client_encoding(conn.pgconn.parameter_status(b"client_encoding"))
            if conn.pgconn.transaction_status != TransactionStatus.IDLE:
                # What a check of the pool's owner has left.
                await conn.rollback()
            if not conn.autocommit:
                await conn.set_autocommit(True)
                self._without_autocommit.add(conn)
        except psycopg.Error as error:
            await super().release(conn)
            raise translate(error, "Nothing was sent.") from error
        except BaseException:
            await super().release(conn)
            raise
        return conn

    _why_closed = "the pool that the client was given is not open: open it first"

    async def release(self, conn: Any) -> None:
        """Give a connection back as it was."""
        if conn in self._without_autocommit:
            self._without_autocommit.discard(conn)
            if is_clean(conn):
                await conn.set_autocommit(False)
        await super().release(conn)


async def open_own(conninfo: str, profile: Profile) -> AsyncSource:
    """Look at the server on a connection that is made for it, then open a pool of the client's own.

    Raises:
        StoreUnavailableError: no connection could be made; the text says why. Nothing was sent.
        IncompatibleServerError: the server cannot be used; the text says why.
    """
    server_info.check_libpq()
    settings = profile.settings
    arguments: dict[str, Any] = {"context": profile, **profile.connect_arguments(conninfo)}
    profile.session_settings = False
    try:
        conn = await AsyncStoreConnection.connect(conninfo, **arguments)
    except (psycopg.Error, UnicodeError) as error:
        raise cannot_connect(error, where(conninfo)) from error
    try:
        conn.deadline = profile.deadline()
        server = await inspect(conn, profile)
        behind_pooler = server.backend_pid != conn.pgconn.backend_pid
    finally:
        await conn.close()
    server_info.check_server(server, settings.schema)
    profile.reads_history = server.knows_history
    profile.session_settings = not (behind_pooler if settings.pooler is None else settings.pooler)
    pool = AsyncStorePool(
        conninfo,
        connection_class=AsyncStoreConnection,
        kwargs=arguments,
        min_size=settings.min_size,
        max_size=settings.max_size,
        timeout=settings.timeout,
        # Never give up: a pool that has given up serves nobody until the next one asks.
        reconnect_timeout=sys.float_info.max / 2,
        open=False,
    )
    await pool.open()
    kind = AsyncOwnSession if profile.session_settings else AsyncLocalSession
    return AsyncOwnSource(pool, profile, server, kind(profile, server))


async def open_borrowed(pool: AsyncConnectionPool[Any], profile: Profile) -> AsyncSource:
    """Look at the server on a connection of a borrowed pool.

    Raises:
        StoreUnavailableError: the pool is not open, or gave no connection in time. Nothing was
            sent.
        IncompatibleServerError: the server cannot be used; the text says why.
    """
    server_info.check_libpq()
    unknown: Any = None
    source = AsyncBorrowedSource(pool, profile, unknown, unknown)
    conn = await source.acquire(profile.deadline())
    try:
        source.server = await inspect(conn, profile)
    finally:
        await source.release(conn)
    server_info.check_server(source.server, profile.settings.schema)
    profile.reads_history = source.server.knows_history
    source.session = AsyncLocalSession(profile, source.server)
    return source


async def inspect(conn: AsyncConnection[Any], profile: Profile) -> Server:
    """Ask the server what it is. Reads catalogs only, and where it may the last global position.

    Raises:
        MessageDBError: the question failed.
    """
    statement = Statement(INSPECT, (profile.settings.schema,))
    try:
        text, params = statement
        cursor = AsyncStoreCursor(conn)
        await cursor.execute(text, params, binary=True, prepare=False)
        server = server_info.server_from_row((await cursor.fetchall())[0])
        await look(conn, profile, server)
        return server
    except psycopg.Error as error:
        raise translate(error, NOTHING_READ) from error

"""The client: its options, its life, and operations that each run on a connection of its pool."""

from __future__ import annotations

import os
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from messagedb import _outcomes as outcomes
from messagedb import _requests as requests
from messagedb._concurrency_async import Lock, get_blocking, run_blocking
from messagedb._conninfo import where
from messagedb._postgres_errors import (
    NOTHING_READ,
    first_line,
    is_lost,
    translate,
)
from messagedb._profile import Profile
from messagedb._settings import ANSWER_GRACE, Settings, check_settings
from messagedb._sql import statements
from messagedb.errors import (
    MessageDBError,
    OutcomeUnknownError,
    StoreUnavailableError,
    ValidationError,
)

from .bound import AsyncBoundClient
from .operations import AsyncOperations
from .pools import AsyncSource, open_borrowed, open_own

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from messagedb._server import Server
    from messagedb.embedded import EmbeddedServer


class AsyncClient(AsyncOperations):
    """A client of one Message DB, with a pool of connections.

    It opens itself on the first operation; close it, or use it as a context manager. It may be
    shared by all tasks of one event loop. In the child after a fork it opens a pool of its own (a
    borrowed one stays the parent's). Each operation holds one connection while it runs, and ends
    within ``command_timeout`` and one second more; a write whose connection was lost is sent again
    within that time, which its message id makes safe, and a read is, too.

    Example::

        async with AsyncClient("postgresql://message_store@localhost/message_store") as client:
            await client.write_message("account-1", NewMessage("Deposited", {"amount": 5}))
            for message in await client.get_stream_messages("account-1"):
                print(message.type, message.data)

    Args:
        conninfo: a libpq connection string or URL; empty for libpq's environment; ``embedded:`` for
            a temporary PostgreSQL that ends with the process, ``embedded:./folder`` for one that
            keeps its data there.
        pool: a psycopg pool of yours to borrow connections from instead: used, never closed, each
            connection given back as it was. Its own options decide about connections;
            ``command_timeout`` is then the server's alone.
        schema: the schema that Message DB is installed in.
        min_size: how many connections to keep open.
        max_size: how many connections to open at most.
        timeout: seconds to wait for a connection.
        command_timeout: seconds that the server may take for an operation.
        pooler: whether a transaction pooler such as PgBouncer is in between. None finds out on
            opening; False is for a pooler in session mode, and faster.
        direct_writes: whether batches, and writes in a transaction, may insert into the table under
            Message DB's own lock. None finds out on opening whether the role may; False calls the
            server's functions only.
        default_batch_size: messages in a page unless a read says otherwise; -1 for no limit.
        decimals: whether ``Decimal`` may be written, as a JSON number, and all numbers with a
            fraction are read as ``Decimal``.

    Raises:
        ValidationError: an option is out of its range. Nothing was opened.
    """

    def __init__(
        self,
        conninfo: str = "",
        *,
        pool: AsyncConnectionPool[Any] | None = None,
        schema: str = "message_store",
        min_size: int = 1,
        max_size: int = 10,
        timeout: float = 10.0,
        command_timeout: float = 30.0,
        pooler: bool | None = None,
        direct_writes: bool | None = None,
        default_batch_size: int = 1000,
        decimals: bool = False,
    ) -> None:
        settings = Settings(
            conninfo=conninfo,
            schema=schema,
            min_size=min_size,
            max_size=max_size,
            timeout=timeout,
            command_timeout=command_timeout,
            pooler=pooler,
            direct_writes=direct_writes,
            default_batch_size=default_batch_size,
            decimals=decimals,
        )
        check_settings(settings)
        lent = cast("object", pool)
        if lent is not None and not isinstance(lent, AsyncConnectionPool):
            wanted, given = AsyncConnectionPool.__qualname__, type(lent).__name__
            raise ValidationError(f"pool must be a {wanted} of psycopg_pool, not {given}")
        if pool is not None and conninfo:
            raise ValidationError(
                "give either conninfo or pool: a borrowed pool knows where it connects"
            )
        self._settings = settings
        self._borrowed = pool
        self._profile = Profile(settings, statements(schema))
        self._known: dict[tuple[Any, ...], Server] = {}
        self._source: AsyncSource | None = None
        self._embedded: EmbeddedServer | None = None
        # After a fork: the embedded server is the parent's to stop, and the child's to use.
        self._inherited_url: str | None = None
        self._lent_before_fork = False
        self._conninfo = conninfo
        self._closed = False
        self._opening = Lock()
        _clients.add(self)

    def __repr__(self) -> str:
        """Name the server, never a password."""
        state = "closed" if self._closed else "open" if self._source else "not opened"
        if self._borrowed is not None:
            place = f"pool {self._borrowed.name!r}"
        elif self._settings.embedded_folder is not None:
            place = self._settings.conninfo
        else:
            place = where(self._conninfo)
        return f"<{type(self).__name__} {place} ({state})>"

    async def __aenter__(self) -> Self:
        """Open the client."""
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self.close()

    async def open(self) -> None:
        """Connect, look at the server, and open the pool. Does nothing on an open client.

        Raises:
            StoreUnavailableError: the server could not be reached, or the client is closed. Nothing
                was sent.
            IncompatibleServerError: there is no Message DB, or one that cannot be used; the text
                names the cure.
        """
        await self._opened()

    async def close(self) -> None:
        """Close the pool, and release an embedded server. Does nothing on a closed client.

        Operations that are running end first or fail; a borrowed pool stays open. A closed client
        stays closed.
        """
        async with self._opening:
            self._closed = True
            source, self._source = self._source, None
            server, self._embedded = self._embedded, None
            try:
                # Elsewhere than it was opened a pool cannot be closed: its connections go with it.
                if source is not None and self._borrowed is None and source.is_at_home():
                    await source.pool.close()
            finally:
                if server is not None:
                    await run_blocking(server.stop)

    def bind(self, conn: AsyncConnection[Any]) -> AsyncBoundClient:
        """Give the operations on a psycopg connection of yours, in your transaction.

        The client need not be open; of its options the schema, ``direct_writes``,
        ``default_batch_size`` and ``decimals`` count.

        Args:
            conn: an open connection to any Message DB. It is not closed, committed or changed.

        Raises:
            ValidationError: not a connection of this kind. Nothing was sent.
        """
        lent = cast("object", conn)
        if not isinstance(lent, AsyncConnection):
            wanted, given = AsyncConnection.__qualname__, type(lent).__name__
            raise ValidationError(
                f"bind() of this client takes a {wanted} of psycopg, not {given}: the other kind "
                "goes to the other kind of client. Nothing was sent."
            )
        return AsyncBoundClient(self._profile, self._known, conn)

    async def _opened(self) -> AsyncSource:
        source = self._source
        if source is not None:
            return source
        async with self._opening:
            if self._closed:
                raise StoreUnavailableError(
                    "the client is closed: make a new one. Nothing was sent."
                )
            if self._source is None:
                self._source = await self._open_source()
            return self._source

    async def _open_source(self) -> AsyncSource:
        if self._lent_before_fork:
            raise StoreUnavailableError(
                "the pool was lent to the client before the fork, and is the parent's: make a "
                "client with a pool of this process. Nothing was sent."
            )
        if self._borrowed is not None:
            return await open_borrowed(self._borrowed, self._profile)
        folder = self._settings.embedded_folder
        if folder is None or self._inherited_url is not None:
            return await open_own(self._inherited_url or self._conninfo, self._profile)
        from messagedb import embedded

        server = await get_blocking(
            lambda: embedded.start(folder or None), embedded.EmbeddedServer.stop
        )
        try:
            source = await open_own(server.url, self._profile)
        except BaseException:
            server.stop()
            raise
        self._embedded = server
        return source

    async def _server_facts(self) -> Server:
        return (await self._opened()).server

    async def _read(self, read: requests.Read) -> list[tuple[Any, ...]]:
        source = self._source or await self._opened()
        deadline = self._profile.deadline()
        attempts = self._settings.max_size + 1
        while True:
            conn = await source.acquire(deadline)
            try:
                return await source.session.read(conn, read)
            except psycopg.Error as error:
                attempts -= 1
                if not (attempts and is_lost(error, conn.closed) and _time_is_left(deadline)):
                    raise translate(
                        error, NOTHING_READ, has_condition=read.has_condition
                    ) from error
            finally:
                await source.release(conn)

    async def _write(self, write: requests.Write) -> list[int]:
        source = self._source or await self._opened()
        deadline = self._profile.deadline()
        attempts = self._settings.max_size + 1
        lost: psycopg.Error | None = None
        while True:
            try:
                conn = await source.acquire(deadline)
            except StoreUnavailableError as error:
                if lost is None:
                    raise
                raise _unknown(write, lost) from error
            try:
                return await source.session.write(conn, write)
            except psycopg.Error as error:
                attempts -= 1
                if not is_lost(error, conn.closed):
                    refusal = outcomes.refused(write, error, self._settings.command_timeout)
                    if lost is None or outcomes.decides(write, refusal):
                        raise refusal from error
                    raise _unknown(write, lost) from error
                lost = error
                if not (attempts and _time_is_left(deadline)):
                    raise _unknown(write, lost) from error
            except MessageDBError as error:
                if lost is None or outcomes.decides(write, error):
                    raise
                raise _unknown(write, lost) from error
            finally:
                await source.release(conn)

    def _after_fork(self) -> None:
        """In the child: leave the parent's connections alone; the next operation opens others."""
        _inherited.append((self._source, self._embedded, self._borrowed))
        # Nothing can be done with a pool that was lent before: its sockets are the parent's.
        self._lent_before_fork = self._borrowed is not None
        if self._embedded is not None:
            self._inherited_url = self._embedded.url
        self._source = None
        self._embedded = None
        self._opening = Lock()


def _time_is_left(deadline: float) -> bool:
    return monotonic() < deadline - ANSWER_GRACE


def _unknown(write: requests.Write, lost: psycopg.Error) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        write.stream_name, write.messages, write.expected_version, first_line(lost)
    )


_clients: weakref.WeakSet[AsyncClient] = weakref.WeakSet()

# What a child process has from its parent, kept so that it is never collected: closing it would be
# the parent's loss.
_inherited: list[Any] = []


def _after_fork_in_child() -> None:
    for client in list(_clients):
        client._after_fork()  # pyright: ignore[reportPrivateUsage]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

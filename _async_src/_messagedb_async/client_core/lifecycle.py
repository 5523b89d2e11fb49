"""The life of a client: it opens itself when first needed, closes once, and survives a fork."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, cast

from psycopg_pool import AsyncConnectionPool

from messagedb._concurrency.backend_async import (
    Lock,
    Places,
    at_exit,
    get_blocking,
    here,
    run_blocking,
)
from messagedb._connection.conninfo import shown
from messagedb._connection.session_config import Profile
from messagedb._connection.settings import Settings, check_settings
from messagedb._errors import StoreUnavailableError, ValidationError
from messagedb._sql.statements import statements

from ..execution.connection_providers import AsyncConnectionProvider, open_borrowed, open_own
from ..operations.operations import AsyncOperations

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from psycopg import AsyncConnection

    from messagedb._connection.server_info import Server
    from messagedb.embedded import EmbeddedServer


class AsyncLifetime(AsyncOperations):
    """A client's options, its pool and its embedded server, from the first operation on."""

    def __init__(self, settings: Settings, pool: AsyncConnectionPool[Any] | None) -> None:
        # First, as a report of an error that is raised here may show it.
        self._settings = settings
        self._borrowed = pool
        self._provider: AsyncConnectionProvider | None = None
        self._closed = False
        check_settings(settings)
        lent = cast("object", pool)
        if lent is not None and not isinstance(lent, AsyncConnectionPool):
            wanted, given = AsyncConnectionPool.__qualname__, type(lent).__name__
            raise ValidationError(f"pool must be a {wanted} of psycopg_pool, not {given}")
        if pool is not None and settings.conninfo:
            raise ValidationError(
                "give either conninfo or pool: a borrowed pool knows where it connects"
            )
        self._profile = Profile(settings, statements(settings.schema))
        self._known: dict[tuple[Any, ...], Server] = {}
        self._embedded: EmbeddedServer | None = None
        # After a fork: the embedded server is the parent's to stop, and the child's to use.
        self._inherited_url: str | None = None
        self._lent_before_fork = False
        self._opening = Lock()
        self._upkeep = self._places_of_upkeep()
        _clients.add(self)

    def __repr__(self) -> str:
        """Name the server, never a password."""
        state = "closed" if self._closed else "open" if self._provider else "not opened"
        if self._borrowed is not None:
            place = f"pool {getattr(self._borrowed, 'name', None)!r}"
        else:
            place = shown(self._settings.conninfo)
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
            ValidationError: the registry lacks upcasters: see its ``check``; or the client cannot
                be used from here, and the text says why. Nothing was sent.
        """
        await self._opened()

    async def close(self) -> None:
        """Close the pool, and release an embedded server. Does nothing on a closed client.

        Operations that are running end first or fail; a borrowed pool stays open. A closed client
        stays closed.
        """
        async with self._opening:
            self._closed = True
            provider, self._provider = self._provider, None
            server, self._embedded = self._embedded, None
            try:
                # Elsewhere than it was opened a pool cannot be closed: its connections go with it.
                if provider is not None and provider.belongs_to_current_loop():
                    await provider.waiting.end()
                    if self._borrowed is None:
                        await provider.pool.close()
            finally:
                if server is not None:
                    await run_blocking(server.stop)

    async def connect(self) -> AsyncConnection[Any]:
        """Make a connection of its own: set up like those of the pool, not one of them.

        For what outlives an operation, such as LISTEN or a lock of a session. It is yours to close,
        and has no time limit but those of the server.

        Raises:
            StoreUnavailableError: it could not be made. Nothing was sent.
        """
        return await (await self._opened()).connect()

    async def _opened(self) -> AsyncConnectionProvider:
        provider = self._provider
        if provider is not None:
            return provider
        here()
        async with self._opening:
            if self._closed:
                closed = StoreUnavailableError(
                    "the client is closed: make a new one. Nothing was sent."
                )
                closed.is_transient = False
                raise closed
            if self._provider is None:
                self._settings.registry.check()
                self._provider = await self._open_provider()
            return self._provider

    async def _open_provider(self) -> AsyncConnectionProvider:
        if self._lent_before_fork:
            forked = StoreUnavailableError(
                "the pool was lent to the client before the fork, and is the parent's: make a "
                "client with a pool of this process. Nothing was sent."
            )
            forked.is_transient = False
            raise forked
        if self._borrowed is not None:
            return await open_borrowed(self._borrowed, self._profile)
        folder = self._settings.embedded_folder
        if folder is None or self._inherited_url is not None:
            return await open_own(self._inherited_url or self._settings.conninfo, self._profile)
        from messagedb import embedded

        server = await get_blocking(
            lambda: embedded.start(folder or None), embedded.EmbeddedServer.stop
        )
        try:
            provider = await open_own(server.url, self._profile)
        except BaseException:
            server.stop()
            raise
        self._embedded = server
        return provider

    async def _server_facts(self) -> Server:
        return (await self._opened()).dialect.server

    async def _end_pool(self) -> None:
        """End the pool with the process: without the lock, which a thread may hold for ever."""
        provider = self._provider
        if provider is not None and self._borrowed is None and provider.belongs_to_current_loop():
            await provider.pool.close(timeout=_END_SECONDS)

    def _places_of_upkeep(self) -> Places:
        """Places for what consumers ask for beside their handlers: half of the pool at a time.

        A thousand consumers that look for messages would else stand in line before each write.
        """
        pool = self._borrowed
        size = self._settings.max_size if pool is None else pool.max_size
        return Places(max(1, size // 2))

    def _after_fork(self) -> None:
        """In the child: leave the parent's connections alone; the next operation opens others."""
        _inherited.append((self._provider, self._embedded, self._borrowed))
        # Nothing can be done with a pool that was lent before: its sockets are the parent's.
        self._lent_before_fork = self._borrowed is not None
        if self._embedded is not None:
            self._inherited_url = self._embedded.url
        self._provider = None
        self._embedded = None
        self._opening = Lock()
        self._upkeep = self._places_of_upkeep()


_clients: weakref.WeakSet[AsyncLifetime] = weakref.WeakSet()

# What a child process has from its parent, kept so that it is never collected: closing it would be
# the parent's loss.
_inherited: list[Any] = []


# Of a pool that nobody closed psycopg waits 5 seconds for each thread, on Python 3.13 in vain.
_END_SECONDS = 1.0


async def _end_pools() -> None:
    for client in list(_clients):
        await client._end_pool()  # pyright: ignore[reportPrivateUsage]


at_exit(_end_pools)


def _after_fork_in_child() -> None:
    for client in list(_clients):
        client._after_fork()  # pyright: ignore[reportPrivateUsage]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

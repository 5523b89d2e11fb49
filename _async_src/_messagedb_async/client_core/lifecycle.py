"""The lifecycle of a client: it opens when first needed, closes once, and survives a fork."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, cast

from psycopg_pool import AsyncConnectionPool

from messagedb._concurrency.backend_async import (
    Lock,
    TimedSemaphore,
    at_exit,
    get_owner,
    run_blocking,
    run_blocking_with_cleanup,
)
from messagedb._connection.conninfo import redact_conninfo
from messagedb._connection.pool_stats import PoolStats, build_pool_stats
from messagedb._connection.session_config import SessionConfig
from messagedb._connection.settings import Settings, check_settings
from messagedb._errors import StoreUnavailableError, ValidationError
from messagedb._sql.statements import statements

from ..execution.connection_providers import AsyncConnectionProvider, open_borrowed, open_own

if TYPE_CHECKING:
    from messagedb._connection.server_info import ServerInfo
    from messagedb.embedded import EmbeddedServer


class AsyncLifecycle:
    """A client's options, its pool and its embedded server, from the first operation on.

    Attributes:
        settings: the options.
        external_pool: the pool that was passed to the client, None if it has its own.
        session_config: the configuration of a new connection.
        provider: the source of connections; None while the client is not open.
        server_info_cache: properties of the servers of bound connections, by address.
        background_slots: the slots for queries of consumers outside their handlers.
    """

    session_config: SessionConfig
    background_slots: TimedSemaphore

    def __init__(self, settings: Settings, pool: AsyncConnectionPool[Any] | None) -> None:
        self.settings = settings
        self.external_pool = pool
        self.provider: AsyncConnectionProvider | None = None
        self.server_info_cache: dict[tuple[Any, ...], ServerInfo] = {}
        self._closed = False
        self._embedded: EmbeddedServer | None = None
        # After a fork: the embedded server is stopped by the parent, and used by the child.
        self._inherited_url: str | None = None
        self._external_pool_is_parents = False
        self._opening = Lock()

    def validate_pool(self) -> None:
        """Check the options, and prepare for opening.

        Raises:
            ValidationError: an option is out of its range; the text names it. Nothing was opened.
        """
        settings, pool = self.settings, self.external_pool
        check_settings(settings)
        lent = cast("object", pool)
        if lent is not None and not isinstance(lent, AsyncConnectionPool):
            wanted, given = AsyncConnectionPool.__qualname__, type(lent).__name__
            raise ValidationError(f"pool must be a {wanted} of psycopg_pool, not {given}")
        if pool is not None and settings.conninfo:
            raise ValidationError(
                "pass either conninfo or pool: a borrowed pool has its own address"
            )
        if pool is not None and settings.group_commit:
            raise ValidationError(
                "group_commit does not work with a borrowed pool, whose connections have settings "
                "of its owner: pass conninfo instead of pool, or omit group_commit"
            )
        self.session_config = SessionConfig(settings, statements(settings.schema))
        self.background_slots = self._count_background_slots()
        _lifecycles.add(self)

    def __repr__(self) -> str:
        """Return the server, never a password."""
        return f"<{type(self).__name__} {self.describe()}>"

    def describe(self) -> str:
        """Return the server and the state in words, never a password."""
        state = "closed" if self._closed else "open" if self.provider else "not opened"
        if self.external_pool is not None:
            target = f"pool {getattr(self.external_pool, 'name', None)!r}"
        else:
            target = redact_conninfo(self.settings.conninfo)
        return f"{target} ({state})"

    def pool_stats(self) -> PoolStats:
        """Return the statistics of the pool, without a query."""
        provider, pool = self.provider, self.external_pool
        if provider is not None:
            return build_pool_stats(provider.pool.get_stats(), len(provider.waiting.connections))
        if pool is not None:
            return PoolStats(pool_min=pool.min_size, pool_max=pool.max_size)
        return PoolStats(pool_min=self.settings.min_size, pool_max=self.settings.max_size)

    async def close(self) -> None:
        """Close the pool, and release an embedded server. Does nothing on a closed client.

        Running operations end first or fail; a borrowed pool stays open. A closed client
        stays closed.
        """
        async with self._opening:
            self._closed = True
            provider, self.provider = self.provider, None
            server, self._embedded = self._embedded, None
            try:
                # A pool can only be closed where it was opened; otherwise its connections end with
                # that.
                if provider is not None and provider.belongs_to_current_loop():
                    await provider.waiting.close()
                    if self.external_pool is None:
                        await provider.pool.close()
            finally:
                if server is not None:
                    await run_blocking(server.stop)

    async def ensure_open(self) -> AsyncConnectionProvider:
        """Open the client unless it is open, and return the source of its connections."""
        provider = self.provider
        if provider is not None:
            return provider
        get_owner()
        async with self._opening:
            if self._closed:
                closed = StoreUnavailableError(
                    "the client is closed: create a new one. Nothing was sent."
                )
                closed.is_transient = False
                raise closed
            if self.provider is None:
                self.settings.registry.check()
                self.provider = await self._open_provider()
            return self.provider

    async def _open_provider(self) -> AsyncConnectionProvider:
        if self._external_pool_is_parents:
            forked = StoreUnavailableError(
                "the pool was created before fork() and cannot be used in the child process:"
                " create a client with a pool of this process. Nothing was sent."
            )
            forked.is_transient = False
            raise forked
        if self.external_pool is not None:
            return await open_borrowed(self.external_pool, self.session_config)
        folder = self.settings.embedded_folder
        if folder is None or self._inherited_url is not None:
            return await open_own(
                self._inherited_url or self.settings.conninfo, self.session_config
            )
        from messagedb import embedded

        server = await run_blocking_with_cleanup(
            lambda: embedded.start(folder or None), embedded.EmbeddedServer.stop
        )
        try:
            provider = await open_own(server.url, self.session_config)
        except BaseException:
            server.stop()
            raise
        self._embedded = server
        return provider

    async def close_pool_at_exit(self) -> None:
        """Close the pool at the process's end, without the lock, which a thread may hold."""
        provider = self.provider
        if (
            provider is not None
            and self.external_pool is None
            and provider.belongs_to_current_loop()
        ):
            await provider.pool.close(timeout=_CLOSE_SECONDS)

    def _count_background_slots(self) -> TimedSemaphore:
        """Return slots for consumers' queries outside their handlers: half of the pool.

        Otherwise a thousand consumers that poll would delay each write.
        """
        pool = self.external_pool
        size = self.settings.max_size if pool is None else pool.max_size
        return TimedSemaphore(max(1, size // 2))

    def reset_after_fork(self) -> None:
        """Leave the parent's connections alone in the child; the next operation opens others."""
        _kept_from_parent.append((self.provider, self._embedded, self.external_pool))
        # A borrowed pool cannot be used: its sockets are the parent's.
        self._external_pool_is_parents = self.external_pool is not None
        if self._embedded is not None:
            self._inherited_url = self._embedded.url
        self.provider = None
        self._embedded = None
        self._opening = Lock()
        self.background_slots = self._count_background_slots()


_lifecycles: weakref.WeakSet[AsyncLifecycle] = weakref.WeakSet()

# Objects of a child process from its parent, kept so that they are never collected: closing them
# would break the parent's.
_kept_from_parent: list[Any] = []


# psycopg waits 5 seconds for each thread of a pool that was never closed, on Python 3.13 in vain.
_CLOSE_SECONDS = 1.0


async def _close_pools() -> None:
    for lifecycle in list(_lifecycles):
        await lifecycle.close_pool_at_exit()


at_exit(_close_pools)


def _after_fork_in_child() -> None:
    for lifecycle in list(_lifecycles):
        lifecycle.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

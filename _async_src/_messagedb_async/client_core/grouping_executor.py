"""Writes of a client with group commit: in groups where its server and role allow that."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..group_commit.committer import AsyncGroupCommitter, find_obstacle

if TYPE_CHECKING:
    from messagedb._connection.pool_stats import PoolStats
    from messagedb._operations.requests import WriteRequest

    from ..execution.connection_providers import AsyncConnectionProvider
    from .lifecycle import AsyncLifecycle
    from .retrying_executor import AsyncRetryingExecutor

log = logging.getLogger("messagedb.client")


class AsyncGroupingExecutor:
    """Writes in groups, each of which shares a transaction."""

    def __init__(self, lifecycle: AsyncLifecycle, alone: AsyncRetryingExecutor) -> None:
        self._lifecycle = lifecycle
        self._alone = alone
        # One for the pool of this process: after a fork there is another pool.
        self._committers: dict[AsyncConnectionProvider, AsyncGroupCommitter] = {}
        self._warnings: dict[AsyncConnectionProvider, object] = {}

    async def write(self, write: WriteRequest) -> list[int]:
        """Write all messages of a write or none, and return their positions.

        Raises:
            OutcomeUnknownError: sent, and no response came, also when sent again.
            MessageDBError: as the operations raise. Nothing was written.
        """
        provider = self._lifecycle.provider or await self._lifecycle.ensure_open()
        committer = self._committers.get(provider)
        if committer is not None:
            return await committer.write(write)
        obstacle = find_obstacle(provider)
        if obstacle is not None:
            self._warn(provider, obstacle)
            return await self._alone.write(write)
        new = AsyncGroupCommitter(provider, self._alone.write)
        return await self._committers.setdefault(provider, new).write(write)

    def _warn(self, provider: AsyncConnectionProvider, obstacle: str) -> None:
        """Log once, also if several writes are the first ones."""
        warning = object()
        if self._warnings.setdefault(provider, warning) is warning:
            log.warning(
                "group_commit has no effect, as %s: each write is sent by itself, as without it.",
                obstacle,
            )

    def add_counts(self, stats: PoolStats) -> PoolStats:
        """Return the statistics of the pool with the numbers of groups, writes and messages."""
        provider = self._lifecycle.provider
        committer = None if provider is None else self._committers.get(provider)
        return stats if committer is None else committer.counts.add_to(stats)

    async def close(self) -> None:
        """Let the writes that wait end, or refuse them."""
        provider = self._lifecycle.provider
        committer = None if provider is None else self._committers.get(provider)
        if committer is not None and committer.provider.belongs_to_current_loop():
            await committer.close()

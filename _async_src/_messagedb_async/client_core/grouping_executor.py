"""Writes of a client with group commit: in groups where its server and role allow that."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..group_commit.committer import AsyncGroupCommitter, find_obstacle

if TYPE_CHECKING:
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
        self._committers: dict[AsyncConnectionProvider, AsyncGroupCommitter | None] = {}

    async def write(self, write: WriteRequest) -> list[int]:
        """Write all messages of a write or none, and return their positions.

        Raises:
            OutcomeUnknownError: sent, and no response came, also when sent again.
            MessageDBError: as the operations raise. Nothing was written.
        """
        provider = self._lifecycle.provider or await self._lifecycle.ensure_open()
        try:
            committer = self._committers[provider]
        except KeyError:
            committer = self._committers.setdefault(provider, self._build_committer(provider))
        if committer is None:
            return await self._alone.write(write)
        return await committer.write(write)

    def _build_committer(self, provider: AsyncConnectionProvider) -> AsyncGroupCommitter | None:
        obstacle = find_obstacle(provider)
        if obstacle is None:
            return AsyncGroupCommitter(provider, self._alone.write)
        log.warning(
            "group_commit has no effect, as %s: each write is sent by itself, as without it.",
            obstacle,
        )
        return None

    async def close(self) -> None:
        """Let the writes that wait end, or refuse them."""
        for provider, committer in list(self._committers.items()):
            if committer is not None and provider.belongs_to_current_loop():
                await committer.close()

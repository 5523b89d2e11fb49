"""Progress of the partitions of one process, for the callers that wait for it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from messagedb._concurrency.backend_async import Event
from messagedb.streams.hashing import group_member

from .run_state import AsyncProgress

if TYPE_CHECKING:
    from .partition_coordinator import AsyncPartitionCoordinator
    from .partition_runner import AsyncPartitionRunner
    from .run_state import AsyncRunState

# How long a wait goes on before it looks if the partitions have changed.
_CHECK_SECONDS = 0.25


class AsyncPartitionProgress(AsyncProgress):
    """Waits for the partitions that this process owns, whichever these are.

    Args:
        state: that of the consumer's run.
        coordinator: knows the partitions.
    """

    def __init__(self, state: AsyncRunState, coordinator: AsyncPartitionCoordinator) -> None:
        super().__init__(state.signals)
        self._run_signals = state.signals
        self._coordinator = coordinator
        self._changed = Event()

    def notify_waiters(self) -> None:
        """Wake the callers: the partitions have changed, or the run has ended."""
        self._changed.set()

    async def wait_for(
        self, position: int, timeout: float | None, stream_name: str | None = None
    ) -> bool:
        """Wait until the partitions have done everything up to a position, or the run has ended.

        Args:
            position: the global position.
            timeout: the largest number of seconds to wait.
            stream_name: wait only for the partition of this stream, which another process may own.
        """
        until = None if timeout is None else monotonic() + timeout
        while True:
            runners = self._select(stream_name)
            waiting = [each for each in runners if not _has_reached(each, position)]
            if self._is_complete(stream_name, runners) and not waiting:
                return True
            if self._run_signals.ended.is_set():
                return False
            remaining = None if until is None else until - monotonic()
            if remaining is not None and remaining <= 0:
                return False
            pause = _CHECK_SECONDS if remaining is None else min(remaining, _CHECK_SECONDS)
            self._changed.clear()
            if waiting:
                await waiting[0].run.state.progress.wait_for(position, pause)
            else:
                await self._changed.wait(pause)

    def _select(self, stream_name: str | None) -> list[AsyncPartitionRunner]:
        look, owned = self._coordinator.look, self._coordinator.owned
        if stream_name is None or look is None:
            return owned
        number = group_member(stream_name, look.size) or 0
        return [each for each in owned if each.number == number]

    def _is_complete(self, stream_name: str | None, runners: list[AsyncPartitionRunner]) -> bool:
        """Return True if no other partition is to be waited for."""
        return bool(runners) if stream_name is not None else self._coordinator.is_settled


def _has_reached(runner: AsyncPartitionRunner, position: int) -> bool:
    reached = runner.run.state.progress.position
    return reached is not None and reached >= position

"""Reports of one run to other processes, from its lease to its end."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Protocol

from messagedb._consumers.report_schedule import RunReport

from .status_writer import get_status_writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._consumers.status import RunSnapshot

    from ..client_core.core import AsyncClientCore
    from .run_state import AsyncRunState


class Holding(Protocol):
    """A lease, or the claim of a partition: one process holds it at a time."""

    @property
    def is_held(self) -> bool:
        """True unless another process may hold it."""
        ...


class AsyncRunReporter:
    """Has the status writer of a client report on a run, which never waits for that but at its end.

    Args:
        state: the run's.
        client: the client.
        settings: the consumer's.
        get_snapshot: returns the state of the run.
    """

    def __init__(
        self,
        state: AsyncRunState,
        client: AsyncClientCore,
        settings: ConsumerSettings,
        get_snapshot: Callable[[], RunSnapshot],
    ) -> None:
        self._state = state
        self._client = client
        self._settings = settings
        self._get_snapshot = get_snapshot
        self._writer = get_status_writer(client)
        self._report: RunReport | None = None

    async def begin(self, lease: Holding | None) -> None:
        """Report from now on, as long as no other process can hold the lease."""
        state, writer = self._state, self._writer
        self._report = report = RunReport(
            self._settings,
            state.counters,
            state.failures,
            self._get_snapshot,
            state.progress.get_message,
            lambda: lease is None or lease.is_held,
            monotonic(),
        )
        state.on_change = lambda: writer.hurry(report)
        await writer.join(self._client, report)

    async def end(self) -> None:
        """Report that the run has ended, if it has begun, and wait a moment for that."""
        report, self._report = self._report, None
        if report is not None:
            may_wait = not self._state.availability.is_unavailable
            await self._writer.leave(report, may_wait=may_wait)

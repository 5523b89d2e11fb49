"""Measurement of a run's lag."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from messagedb._errors import LostHistoryError, MessageDBError
from messagedb._subscriptions.availability import is_transient_error
from messagedb._subscriptions.log_texts import format_error

from ..subscriptions.history_queries import get_last_positions
from .run_state import log
from .side_task import call_if_free

if TYPE_CHECKING:
    from ..client_core.core import AsyncClientCore
    from ..subscriptions.feeds import AsyncFeed
    from .run_state import AsyncRunState


async def run_measurements(
    state: AsyncRunState, client: AsyncClientCore, feed: AsyncFeed, interval: float
) -> None:
    """Measure every few seconds until the run is over, unless looks for several consumers do it."""
    while await state.signals.pause_until_ended(interval):
        if not state.progress.is_measured_by_look:
            await measure(state, client, feed)
        state.activity.summarize(monotonic(), state.progress.lag)


async def measure(state: AsyncRunState, client: AsyncClientCore, feed: AsyncFeed) -> None:
    """Measure the lag of the run."""
    progress = state.progress
    position = progress.position
    if position is None or state.availability.is_unavailable:
        return
    try:
        lag = await call_if_free(client, lambda: feed.measure_lag(position))
        if lag is None:
            return
        progress.note_lag(lag)
        if lag.head is not None and lag.head < (progress.position or 0):
            await check_assigned_positions(state, client)
    except Exception as error:
        if not (isinstance(error, MessageDBError) and is_transient_error(error)):
            log.warning("%s: the lag cannot be measured: %s", state.name, format_error(error))


async def check_assigned_positions(state: AsyncRunState, client: AsyncClientCore) -> None:
    """Report lost history to the run if positions up to its own will be assigned again.

    After a restore new messages get positions of handled ones.
    If the newest messages were only erased, the sequence is unchanged.
    """
    position = state.progress.position
    head, last_assigned = await get_last_positions(client)
    if position is not None and last_assigned is not None and last_assigned < position:
        state.progress.trail.history_error = LostHistoryError(
            state.name, position, None, None, None, head
        )
        state.signals.wake.set()

"""Queries of consumers outside their handlers: with a share of the pool only."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..client_core.core import get_background_slots

if TYPE_CHECKING:
    from messagedb._concurrency.callables import AsyncThunk

    from ..client_core.core import AsyncClientCore
    from .run_state import AsyncSignals

R = TypeVar("R")

# Time to wait for a slot before it is checked whether the run is to stop; and the longest wait of
# queries that cannot be omitted.
_CHECK_SECONDS = 1.0
_MAX_WAIT_SECONDS = 5.0


async def call_when_free(
    signals: AsyncSignals, client: AsyncClientCore, function: AsyncThunk[R]
) -> R | None:
    """Call a function when there is a slot; None when the run is to stop."""
    slots = get_background_slots(client)
    while not await slots.acquire(_CHECK_SECONDS):
        if signals.is_stopping:
            return None
    try:
        return await function()
    finally:
        slots.release()


async def call_if_free(client: AsyncClientCore, function: AsyncThunk[R]) -> R | None:
    """Call a function if there is a slot soon; None otherwise."""
    slots = get_background_slots(client)
    if not await slots.acquire(_CHECK_SECONDS):
        return None
    try:
        return await function()
    finally:
        slots.release()


async def call_within_limit(client: AsyncClientCore, function: AsyncThunk[R]) -> R:
    """Call a function when there is a slot, or after some seconds without one."""
    slots = get_background_slots(client)
    has_slot = await slots.acquire(_MAX_WAIT_SECONDS)
    try:
        return await function()
    finally:
        if has_slot:
            slots.release()

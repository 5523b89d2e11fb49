"""Queries of consumers outside their handlers: with a share of the pool only."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..client_core.core import get_upkeep

if TYPE_CHECKING:
    from messagedb._concurrency.callables import AsyncThunk

    from ..client_core.core import AsyncClientCore
    from .run_state import AsyncSignals

R = TypeVar("R")

# Time to wait for a place before it is checked whether the run is to stop; and the longest wait of
# queries that cannot be omitted.
_LOOK = 1.0
_LONGEST = 5.0


async def when_free(
    signals: AsyncSignals, client: AsyncClientCore, function: AsyncThunk[R]
) -> R | None:
    """Call a function when there is a place; None when the run is to stop."""
    places = get_upkeep(client)
    while not await places.take(_LOOK):
        if signals.is_stopping:
            return None
    try:
        return await function()
    finally:
        places.give_back()


async def if_free(client: AsyncClientCore, function: AsyncThunk[R]) -> R | None:
    """Call a function if there is a place soon; None otherwise."""
    places = get_upkeep(client)
    if not await places.take(_LOOK):
        return None
    try:
        return await function()
    finally:
        places.give_back()


async def soon(client: AsyncClientCore, function: AsyncThunk[R]) -> R:
    """Call a function when there is a place, or after some seconds without one."""
    places = get_upkeep(client)
    has_place = await places.take(_LONGEST)
    try:
        return await function()
    finally:
        if has_place:
            places.give_back()

"""A decision that waits is refused where the decider is given."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import AsyncClient, AsyncEntityStore, Client, Decider, EntityStore, ValidationError


def evolve(state: int, event: Any) -> int:
    return state


async def decide(command: int, state: int) -> list[Any]:
    return []


def test_an_async_decision_is_refused() -> None:
    decider: Decider[int, int, Any] = Decider(
        initial=int,
        decide=decide,  # pyright: ignore[reportArgumentType]
        evolve=evolve,
    )
    with pytest.raises(ValidationError, match="decide must be a plain function"):
        AsyncEntityStore(AsyncClient(), "account", decider=decider)
    with pytest.raises(ValidationError, match="decide must be a plain function"):
        EntityStore(Client(), "account", decider=decider)

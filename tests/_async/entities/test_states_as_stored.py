"""A state that is kept after a write is the state that the stored events give."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from messagedb import AsyncClient, AsyncEntityStore, Decider, MessageRegistry


class Noted(msgspec.Struct, frozen=True):
    values: dict[str, Any]
    rest: Any = None


def collect(state: tuple[str, ...], event: Noted) -> tuple[str, ...]:
    """Depend on the order of keys and on the kind of numbers, as a state should not."""
    return (*state, repr(event))


@pytest.mark.parametrize("decimals", [False, True])
async def test_the_order_of_keys_and_the_kind_of_numbers_are_those_of_the_stored_event(
    store_url: str, category: str, decimals: bool
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)

    def some_value(depth: int) -> Any:
        kind = chance.randrange(8 if depth else 6)
        if kind == 6:
            return [some_value(depth - 1) for _ in range(chance.randrange(4))]
        if kind == 7:
            return some_values(depth - 1)
        numbers = [chance.randrange(-(10**20), 10**20), Decimal("1.50"), Decimal("-0.0")]
        floats = [chance.uniform(-1, 1) * 10 ** chance.randrange(-9, 22), -0.0, 1e300]
        return ["", "é{\\", None, True, chance.choice(floats), numbers[decimals * kind % 3]][kind]

    def some_values(depth: int) -> dict[str, Any]:
        names = ["b", "a", "aa", "é", "z", "zz", "Ä", "日本", "", "a b", "\U0001f600"]
        chance.shuffle(names)
        return {name: some_value(depth) for name in names[: chance.randrange(8)]}

    decider: Decider[tuple[str, ...], Noted, Noted] = Decider(
        initial=tuple, decide=lambda command, state: command, evolve=collect
    )
    registry = MessageRegistry()
    async with AsyncClient(store_url, registry=registry, decimals=decimals) as client:
        store = AsyncEntityStore(client, category, decider=decider)
        fresh = AsyncEntityStore(client, category, decider=decider, cache_size=0)
        for _ in range(60):
            done = await store.transact("1", Noted(some_values(3), some_value(2)))
            assert repr(done.events[0]) == done.entity[-1]
        kept = (await store.load("1")).entity
        assert len(kept) == 60
        assert kept == (await fresh.load("1")).entity

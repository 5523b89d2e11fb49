"""Commands with keys whose tasks are cancelled at random moments, and that are sent again."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from messagedb import AsyncClient, AsyncEntityStore
from messagedb.entities import LoadedEntity
from tests._async.accounts import DECIDER, Account, Deposit, Withdraw
from tests.support.background_async import eventually
from tests.support.outcome import is_whole

KEYS = 60


@pytest.mark.parametrize("direct", [None, False])
async def test_a_command_that_was_cancelled_and_comes_again_counts_once(
    store_url: str, category: str, direct: bool | None
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    cancelled = repeated = 0
    async with AsyncClient(store_url, max_size=2, direct_writes=direct) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        await accounts.transact("1", Deposit(2 * KEYS))
        for key in range(KEYS):
            for _ in range(3):
                call = asyncio.ensure_future(accounts.transact("1", Withdraw(2), id=f"{key}"))
                await asyncio.wait([call], timeout=chance.uniform(0, 0.006))
                cancelled += call.cancel()
                with suppress(asyncio.CancelledError):
                    await call
            done = await accounts.transact("1", Withdraw(2), id=f"{key}")
            repeated += done.is_repeated
            assert done.positions == (1 + 2 * key, 2 + 2 * key)
            assert done.entity.balance == 2 * (KEYS - key - 1)
        assert await accounts.load("1") == LoadedEntity(Account("", 0, 1 + 2 * KEYS), 2 * KEYS)
        print(f"{cancelled} cancelled, {repeated} of {KEYS} answered before")
        assert cancelled > 0
        await eventually(lambda: is_whole(client))

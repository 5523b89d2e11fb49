"""Commands that wait for one entity, and whose callers are cancelled."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from messagedb import AsyncClient, AsyncEntityStore
from messagedb.entities import LoadedEntity
from tests._async.accounts import DECIDER, Account, Deposit, Refused, Withdraw
from tests.support.background_async import eventually
from tests.support.outcome import is_whole
from tests.support.store import locked, waiting_for_locks

Accounts = AsyncEntityStore[Account, Any]


async def start(accounts: Accounts, command: Any) -> asyncio.Task[Any]:
    """Send a command, and return when it waits for the others."""
    call = asyncio.ensure_future(accounts.transact("1", command))
    await asyncio.sleep(0)
    return call


async def test_a_caller_that_is_cancelled_while_it_waits_stores_nothing(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, max_size=2) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        await accounts.transact("1", Deposit(1))
        with locked(store_url, category):
            first = await start(accounts, Deposit(1))
            await eventually(lambda: waiting_for_locks(store_url, category) == 1)
            calls = [await start(accounts, Deposit(10**n)) for n in range(1, 6)]
            for n in (0, 2, 4):
                calls[n].cancel()
        assert (await first).positions == (1,)
        for n in (0, 2, 4):
            with pytest.raises(asyncio.CancelledError):
                await calls[n]
        assert [(await calls[n]).positions for n in (1, 3)] == [(2,), (3,)]
        assert await accounts.load("1") == LoadedEntity(Account("", 10102, 4), 3)


@pytest.mark.parametrize("direct", [None, False])
async def test_others_get_their_outcome_if_the_one_that_sends_for_all_is_cancelled(
    store_url: str, category: str, direct: bool | None
) -> None:
    async with AsyncClient(store_url, max_size=2, direct_writes=direct) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        await accounts.transact("1", Deposit(1))
        with locked(store_url, category):
            first = await start(accounts, Deposit(1))
            await eventually(lambda: waiting_for_locks(store_url, category) == 1)
            calls = [
                await start(accounts, command)
                for command in (Deposit(10), Deposit(100), Withdraw(1000), Withdraw(2))
            ]
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            # The next one sends for all that wait, and is cancelled while the server works.
            await eventually(lambda: waiting_for_locks(store_url, category) >= 1)
            await eventually(lambda: calls[1].get_stack() != [])
            calls[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await calls[0]
        second = await calls[1]
        with pytest.raises(Refused, match="1000 of"):
            await calls[2]
        last = await calls[3]
        events = [message.data["amount"] async for message in client.read_stream(f"{category}-1")]
        assert events.count(100) == 1
        assert events[-2:] == [1, 1]
        assert events[second.positions[0]] == 100
        assert last.positions == (len(events) - 2, len(events) - 1)
        # Those that were cancelled may have been stored, and not twice.
        assert events.count(10) <= 1
        assert await accounts.load("1") == LoadedEntity(last.entity, last.version)
        await eventually(lambda: is_whole(client))


async def test_callers_that_are_cancelled_at_random_disturb_no_others(
    store_url: str, category: str
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    cancelled: set[int] = set()
    answers: dict[int, Any] = {}
    async with AsyncClient(store_url, max_size=2) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)

        async def send(sender: int) -> None:
            for n in range(30):
                amount = 1 + sender * 100 + n
                call = asyncio.ensure_future(accounts.transact("1", Deposit(amount)))
                if chance.random() < 0.3:
                    await asyncio.wait([call], timeout=chance.uniform(0, 0.01))
                    if call.cancel():
                        cancelled.add(amount)
                try:
                    answers[amount] = await call
                except asyncio.CancelledError:
                    assert amount in cancelled

        await asyncio.wait_for(asyncio.gather(*map(send, range(16))), 60)
        stored = [message.data["amount"] async for message in client.read_stream(f"{category}-1")]
        assert len(set(stored)) == len(stored)
        assert {amount for amount in stored if amount not in answers} <= cancelled
        for amount, answer in answers.items():
            assert stored[answer.positions[0]] == amount
            assert answer.entity.balance == sum(stored[: answer.version + 1])
        print(f"{len(cancelled)} cancelled, {len(stored) - len(answers)} of them stored")
        assert cancelled
        assert await accounts.load("1") == LoadedEntity(
            Account("", sum(stored), len(stored)), len(stored) - 1
        )
        await eventually(lambda: is_whole(client))

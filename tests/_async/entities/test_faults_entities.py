"""A command to an entity whose answer is lost is handled once."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import AsyncClient, AsyncEntityStore, Decider, NewMessage, OutcomeUnknownError
from messagedb.entities import LoadedEntity
from messagedb.testing import FaultProxy
from tests._async.accounts import DECIDER, Account, Deposit, Deposited, Withdrawn, evolve
from tests.support.background_async import Background
from tests.support.store import count_category

AMOUNT = 7654321  # found in what is sent


@pytest.mark.parametrize("count", [1, 2])
async def test_an_answer_that_is_lost(store_url: str, category: str, count: int) -> None:
    def decide(command: Deposit, account: Account) -> Any:
        return [Deposited(command.amount), Withdrawn(1)][:count]

    decider = Decider(initial=Account, decide=decide, evolve=evolve)
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.url, max_size=2) as client:
            accounts = AsyncEntityStore(client, category, decider=decider)
            proxy.cut_at("before_answer", str(AMOUNT))
            done = await accounts.transact("1", Deposit(AMOUNT))
            assert proxy.injected == 1
            state = Account("", AMOUNT - (count == 2), count)
            assert (done.entity, done.positions) == (state, tuple(range(count)))
            assert await accounts.load("1") == LoadedEntity(state, count - 1)
    assert count_category(store_url, category) == count


async def test_a_command_that_is_sent_again_after_an_unknown_outcome(
    store_url: str, category: str
) -> None:
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.url, max_size=2, command_timeout=1.0) as client:
            accounts = AsyncEntityStore(client, category, decider=DECIDER)
            commands = f"{category}:command-1"
            await client.write_message(commands, NewMessage("Deposit", {"amount": AMOUNT}))
            command = await client.get_last_stream_message(commands)
            assert command is not None
            assert await accounts.get("1") is None
            proxy.cut_at("before_answer", str(AMOUNT), times=99)
            with pytest.raises(OutcomeUnknownError) as caught:
                await accounts.transact("1", Deposit(AMOUNT), following=command)
            assert [message.type for message in caught.value.messages] == ["Deposited"]
            proxy.cut_at("before_answer", "no such thing")
            again = await accounts.transact("1", Deposit(AMOUNT), following=command)
            assert again.positions == (0,)
            assert again.entity == Account("", AMOUNT, 1)
            assert await accounts.load("1") == LoadedEntity(Account("", AMOUNT, 1), 0)
    assert count_category(store_url, category) == 1


def two_events(command: Deposit, account: Account) -> Any:
    return [Deposited(command.amount), Withdrawn(account.events + 1)]


TWO_EVENTS = Decider(initial=Account, decide=two_events, evolve=evolve)


async def test_an_answer_that_is_lost_to_a_command_with_a_key(
    store_url: str, category: str
) -> None:
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.url, max_size=2) as client:
            accounts = AsyncEntityStore(client, category, decider=TWO_EVENTS)
            proxy.cut_at("before_answer", str(AMOUNT))
            done = await accounts.transact("1", Deposit(AMOUNT), id="k")
            assert proxy.injected == 1
            assert (done.is_repeated, done.positions) == (False, (0, 1))
            again = await accounts.transact("1", Deposit(AMOUNT), id="k")
            assert (again.is_repeated, again.positions) == (True, (0, 1))
            assert again.entity == done.entity == Account("", AMOUNT - 1, 2)
    assert count_category(store_url, category) == 2


async def test_a_key_gives_the_first_result_after_an_unknown_outcome(
    store_url: str, category: str
) -> None:
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.url, max_size=2, command_timeout=1.0) as client:
            accounts = AsyncEntityStore(client, category, decider=TWO_EVENTS)
            assert await accounts.get("1") is None
            proxy.cut_at("before_answer", str(AMOUNT), times=99)
            with pytest.raises(OutcomeUnknownError):
                await accounts.transact("1", Deposit(AMOUNT), id="k")
            proxy.cut_at("before_answer", "no such thing")
            async with AsyncClient(store_url) as other:
                await AsyncEntityStore(other, category, decider=DECIDER).transact("1", Deposit(1))
            # The same decision would be another one by now.
            again = await accounts.transact("1", Deposit(AMOUNT), id="k")
            assert (again.is_repeated, again.positions, again.version) == (True, (0, 1), 1)
            assert again.events == (Deposited(AMOUNT), Withdrawn(1))
            assert again.entity == Account("", AMOUNT - 1, 2)
    assert count_category(store_url, category) == 3


async def test_many_at_once_with_one_key_while_answers_are_lost(
    store_url: str, category: str
) -> None:
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(proxy.url, max_size=8) as client:
            accounts = AsyncEntityStore(client, category, decider=TWO_EVENTS)
            assert await accounts.get("1") is None
            proxy.cut_at("before_answer", str(AMOUNT), times=5)
            running = [
                Background(accounts.transact, "1", Deposit(AMOUNT), id="k") for _ in range(16)
            ]
            results = [await each.result() for each in running]
            assert proxy.injected == 5
            for each in results:
                assert (each.positions, each.version) == ((0, 1), 1)
                assert each.entity == Account("", AMOUNT - 1, 2)
                assert each.events == (Deposited(AMOUNT), Withdrawn(1))
            assert sum(not each.is_repeated for each in results) == 1
    assert count_category(store_url, category) == 2

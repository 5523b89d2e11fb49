"""Given, when, then over entity stores and consumers, in a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    AsyncEntityStore,
    MessageRegistry,
    NewMessage,
)
from messagedb.consumers import NO_RETRY
from messagedb.testing import AsyncConsumerScenario, AsyncEntityScenario
from tests._async.accounts import (
    DECIDER,
    Account,
    Command,
    Deposit,
    Deposited,
    Open,
    Opened,
    Refused,
    Withdraw,
    Withdrawn,
)


@pytest.fixture
async def client(store_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client whose registry has the classes of these cases, and of no others."""
    registry = MessageRegistry()
    for cls in (Opened, Deposited, Withdrawn, Open, Deposit, Withdraw):
        registry.add(cls)
    async with AsyncClient(store_url, max_size=4, registry=registry) as client:
        yield client


async def test_of_entities(client: AsyncClient, category: str) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    scenario = AsyncEntityScenario(client, accounts)
    await scenario.given("1", Opened("Ada"), Deposited(5))
    await scenario.when("1", Withdraw(4))
    await scenario.then("1", Withdrawn(2), Withdrawn(2))
    await scenario.then_state("1", Account("Ada", 1, 4))
    await scenario.when("1", Open("Bob"))
    await scenario.then("1")
    with pytest.raises(AssertionError, match="but got no events"):
        await scenario.then("1", Opened("Bob"))
    await scenario.when("1", Withdraw(9))
    scenario.then_raises(Refused, match="9 of 1")
    with pytest.raises(AssertionError, match="9 of 1 was raised"):
        await scenario.then("1")
    with pytest.raises(AssertionError, match="expected state"):
        await scenario.then_state("1", Account())
    await scenario.when("1", Deposit(1))
    with pytest.raises(AssertionError, match="expected Refused"):
        scenario.then_raises(Refused)


async def test_of_consumers(client: AsyncClient, category: str) -> None:
    accounts = AsyncEntityStore(client, category, decider=DECIDER)
    consumer = AsyncConsumer(client, f"{category}:command", retry=NO_RETRY)

    @consumer.handler
    async def handle(command: Command, context: AsyncContext) -> None:
        await accounts.transact("1", command, following=context.message)

    commands = f"{category}:command-1"
    scenario = AsyncConsumerScenario(client, consumer)
    await scenario.given(commands, Open("Ada"), Deposit(5))
    await scenario.when(commands, Withdraw(4))
    await scenario.then(f"{category}-1", Withdrawn(2), Withdrawn(2))
    await scenario.then(f"{category}-2")
    with pytest.raises(AssertionError, match=r"but got Withdrawn\(amount=2\), Withdrawn"):
        await scenario.then(f"{category}-1", Withdrawn(2))
    await scenario.then(
        f"{category}-1",
        NewMessage("Withdrawn", {"amount": 2}),
        NewMessage("Withdrawn", {"amount": 2}),
    )
    with pytest.raises(AssertionError, match=r"expected Withdrawn\(\{'amount': 3\}\)"):
        await scenario.then(f"{category}-1", NewMessage("Withdrawn", {"amount": 3}))
    with pytest.raises(AssertionError, match="expected Refused"):
        scenario.then_raises(Refused)
    await scenario.then(commands)  # what it wrote itself is none of what came of it
    await scenario.when(commands, Withdraw(9))
    scenario.then_raises(Refused, match="9 of 1")
    with pytest.raises(AssertionError, match="9 of 1 was raised"):
        await scenario.then(f"{category}-1")

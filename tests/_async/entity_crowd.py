"""Tasks that send commands to few entities, and a check of all outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from messagedb import AsyncClient, AsyncEntityStore
from tests._async.accounts import DECIDER, Account, Command, Deposit, Refused, Withdraw
from tests.support.background_async import Background

TASKS = 12
TURNS = 8
IDS = ("1", "2")


class Teller:
    """Sends commands to the entities in turn, and notes the outcomes.

    Attributes:
        places: the entity and the position of each event that a command has written.
        balances: what the commands have added to each entity.
        refused: the number of commands that were refused.
    """

    def __init__(
        self, entities: AsyncEntityStore[Account, Command], number: int, *, withdraws: bool
    ) -> None:
        self.places: list[tuple[str, int]] = []
        self.balances: Counter[str] = Counter()
        self.refused = 0
        self._entities = entities
        self._number = number
        self._withdraws = withdraws

    async def run(self) -> None:
        """Send all commands."""
        for turn in range(TURNS):
            id = IDS[(self._number + turn) % len(IDS)]
            is_withdrawal = self._withdraws and (self._number + turn) % 3 == 0
            await self._send(id, Withdraw(4) if is_withdrawal else Deposit(3))
            if turn % 4 == 3:
                await self._send(id, Withdraw(10**9))

    async def _send(self, id: str, command: Deposit | Withdraw) -> None:
        try:
            done = await self._entities.transact(id, command, max_attempts=100)
        except Refused:
            self.refused += 1
            return
        sign = -1 if isinstance(command, Withdraw) else 1
        self.balances[id] += sign * command.amount
        assert sum(event.amount for event in done.events) == command.amount
        assert done.entity is not None
        assert done.entity.events == done.version + 1
        self.places += [(id, position) for position in done.positions]


async def check_commands(
    clients: Sequence[AsyncClient], category: str, *, withdraws: bool = True
) -> None:
    """Send commands from several tasks by several clients, and check all outcomes."""
    stores = [AsyncEntityStore(each, category, decider=DECIDER) for each in clients]
    tellers = [
        Teller(stores[number % len(stores)], number, withdraws=withdraws) for number in range(TASKS)
    ]
    calls = [Background(teller.run) for teller in tellers]
    for call in calls:
        await call.result(60.0)
    fresh = AsyncEntityStore(clients[0], category, decider=DECIDER)
    assert sum(teller.refused for teller in tellers) >= TASKS * TURNS // 4
    for id in IDS:
        entity = (await fresh.load(id)).entity
        assert entity.balance == sum(teller.balances[id] for teller in tellers)
        found = sorted(
            position for teller in tellers for each, position in teller.places if each == id
        )
        assert found == list(range(entity.events))

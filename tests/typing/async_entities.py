"""A user's types with the entities of the async variant; checked, never run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Never, assert_type

import msgspec

from messagedb import AsyncClient, AsyncContext, AsyncEntityStore, Decider, Projection
from messagedb.entities import LoadedEntity, SnapshotPolicy, TransactResult, apply
from messagedb.testing import AsyncEntityScenario, Given, Outcome, given


class Deposited(msgspec.Struct, frozen=True):
    amount: int


class Withdrawn(msgspec.Struct, frozen=True):
    amount: int


class Deposit(msgspec.Struct, frozen=True):
    amount: int


class Withdraw(msgspec.Struct, frozen=True):
    amount: int


class Account(msgspec.Struct, frozen=True):
    balance: int = 0


def decide(command: Deposit | Withdraw, account: Account) -> list[Deposited | Withdrawn]:
    if isinstance(command, Deposit):
        return [Deposited(command.amount)]
    return [Withdrawn(command.amount)] if account.balance >= command.amount else []


def evolve(account: Account, event: Deposited | Withdrawn) -> Account:
    sign = 1 if isinstance(event, Deposited) else -1
    return Account(account.balance + sign * event.amount)


def evolve_text(account: str, event: Deposited | Withdrawn) -> str:
    return f"{account}, {event.amount}"


DECIDER: Decider[Account, Deposit | Withdraw, Deposited | Withdrawn] = Decider(
    initial=Account, decide=decide, evolve=evolve
)


class Accounts(Projection[Account]):
    def initial(self) -> Account:
        return Account()

    @apply
    def moved(self, account: Account, event: Deposited | Withdrawn) -> Account:
        return evolve(account, event)


async def use(client: AsyncClient) -> None:
    accounts = AsyncEntityStore(
        client, "account", decider=DECIDER, snapshots=SnapshotPolicy(Account, every_events=100)
    )
    assert_type(accounts, AsyncEntityStore[Account, Deposit | Withdraw])
    assert_type(await accounts.get("1"), Account | None)
    assert_type(await accounts.load("1", version=3), LoadedEntity[Account])
    assert_type((await accounts.load("1")).entity, Account)
    assert_type((await accounts.load("1")).version, int)
    assert_type(await accounts.exists("1"), bool)

    assert_type(await accounts.transact("1", Deposit(5)), TransactResult[Account])
    assert_type((await accounts.transact("1", Withdraw(5))).entity, Account)
    assert_type(await accounts.transact("1", Deposit(5), id="key"), TransactResult[Account])
    await accounts.transact("1", Deposit(5), id=5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await accounts.transact("1", Deposited(5))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await accounts.transact(1, Deposit(5))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

    async with accounts.edit("1") as account:
        assert_type(account.entity, Account)
        assert_type(account.append(Withdrawn(5)), Account)
        assert_type(account.version, int)
    assert_type(account.positions, tuple[int, ...])


async def handle(
    command: Deposit, context: AsyncContext, accounts: AsyncEntityStore[Account, Deposit | Withdraw]
) -> None:
    bound = accounts.bind(context.client)
    assert_type(bound, AsyncEntityStore[Account, Deposit | Withdraw])
    assert_type(
        await bound.transact("1", command, following=context.message), TransactResult[Account]
    )


async def project(client: AsyncClient) -> None:
    accounts = AsyncEntityStore(client, "account", projection=Accounts())
    assert_type(accounts, AsyncEntityStore[Account, Never])
    assert_type(await accounts.load("1"), LoadedEntity[Account])
    await accounts.transact("1", Deposit(5))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    texts = AsyncEntityStore(client, "account", projection=Projection.of(str, evolve_text))
    assert_type(await texts.get("1"), str | None)
    AsyncEntityStore(client, "account")  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]


def decided() -> None:
    begun = given(DECIDER, Deposited(5))
    assert_type(begun, Given[Account, Deposit | Withdraw])
    assert_type(begun.state(), Account)
    assert_type(begun.when(Withdraw(3)), Outcome[Account])
    assert_type(begun.when(Withdraw(3)).then(Withdrawn(3)).state, Account)
    begun.when(Withdrawn(3))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    begun.then_state(5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert_type(given(Accounts(), Deposited(5)).state(), Account)
    given(Accounts()).when(Deposit(5))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def scene(
    client: AsyncClient, accounts: AsyncEntityStore[Account, Deposit | Withdraw]
) -> None:
    scenario = AsyncEntityScenario(client, accounts)
    assert_type(scenario, AsyncEntityScenario[Account, Deposit | Withdraw])
    await scenario.when("1", Deposit(5))
    await scenario.when("1", Deposited(5))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await scenario.then_state("1", Account(5))


def decide_one(command: Deposit | Withdraw, account: Account) -> Deposited | Withdrawn | None:
    return Deposited(command.amount) if isinstance(command, Deposit) else None


def decide_few(command: Deposit | Withdraw, account: Account) -> Deposited | None:
    return Deposited(command.amount)


def decide_mixed(
    command: Deposit | Withdraw, account: Account
) -> list[Deposited] | Withdrawn | None:
    return [Deposited(command.amount)]


def evolve_deposits(account: Account, event: Deposited) -> Account:
    return Account(account.balance + event.amount)


def decide_tuple(
    command: Deposit | Withdraw, account: Account
) -> tuple[Deposited, Withdrawn] | tuple[()]:
    return (Deposited(command.amount), Withdrawn(1))


def decide_yield(command: Deposit | Withdraw, account: Account) -> Iterator[Deposited | Withdrawn]:
    yield Deposited(command.amount)


def decide_other(command: Deposit | Withdraw, account: Account) -> list[Deposited | Account]:
    return [account]


def change(account: Account, event: Deposited | Withdrawn) -> None:
    print(account, event)


def inferred() -> None:
    one = Decider(initial=Account, decide=decide_one, evolve=evolve)
    assert_type(one, Decider[Account, Deposit | Withdraw, Deposited | Withdrawn])
    several = Decider(initial=Account, decide=decide, evolve=evolve)
    assert_type(several, Decider[Account, Deposit | Withdraw, Deposited | Withdrawn])
    pair = Decider(initial=Account, decide=decide_tuple, evolve=evolve)
    assert_type(pair, Decider[Account, Deposit | Withdraw, Deposited | Withdrawn])
    yielded = Decider(initial=Account, decide=decide_yield, evolve=evolve)
    assert_type(yielded, Decider[Account, Deposit | Withdraw, Deposited | Withdrawn])
    few = Decider(initial=Account, decide=decide_few, evolve=evolve)
    assert_type(few, Decider[Account, Deposit | Withdraw, Deposited | Withdrawn])
    mixed = Decider(initial=Account, decide=decide_mixed, evolve=evolve)
    assert_type(mixed, Decider[Account, Deposit | Withdraw, Deposited | Withdrawn])
    changed = Decider(initial=Account, decide=decide_one, evolve=change)
    assert_type(changed, Decider[Account, Deposit | Withdraw, Deposited | Withdrawn])
    assert_type(given(one, Deposited(1), Withdrawn(1)), Given[Account, Deposit | Withdraw])
    assert_type(given(several, Withdrawn(1)).when(Deposit(1)), Outcome[Account])


def inferred_store(client: AsyncClient) -> None:
    one = Decider(initial=Account, decide=decide_one, evolve=evolve)
    assert_type(
        AsyncEntityStore(client, "account", decider=one),
        AsyncEntityStore[Account, Deposit | Withdraw],
    )


def mistaken() -> None:
    Decider(initial=int, decide=decide, evolve=evolve)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue]
    Decider(initial=Account, decide=decide_other, evolve=evolve)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue]
    given(DECIDER, Account())  # type: ignore[misc] # pyright: ignore[reportArgumentType, reportCallIssue]
    Decider(initial=Account, decide=decide_one, evolve=evolve_deposits)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue]

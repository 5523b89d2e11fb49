"""An account and what happens to it, for the cases about entities."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import msgspec

from messagedb._entities.decider import Decider
from messagedb._entities.projection import Projection, apply


class Opened(msgspec.Struct, frozen=True):
    owner: str


class Deposited(msgspec.Struct, frozen=True):
    amount: int


class Withdrawn(msgspec.Struct, frozen=True):
    amount: int


class Open(msgspec.Struct, frozen=True):
    owner: str


class Deposit(msgspec.Struct, frozen=True):
    amount: int


class Withdraw(msgspec.Struct, frozen=True):
    amount: int


Event = Opened | Deposited | Withdrawn
Command = Open | Deposit | Withdraw


class Account(msgspec.Struct, frozen=True):
    owner: str = ""
    balance: int = 0
    events: int = 0


class Refused(Exception):
    pass


def evolve(account: Account, event: Event) -> Account:
    match event:
        case Opened(owner):
            return Account(owner, account.balance, account.events + 1)
        case Deposited(amount):
            return Account(account.owner, account.balance + amount, account.events + 1)
        case Withdrawn(amount):
            return Account(account.owner, account.balance - amount, account.events + 1)


def decide(command: Command, account: Account) -> Event | list[Event] | Iterator[Event] | None:
    match command:
        case Open(owner):
            return None if account.owner else Opened(owner)
        case Deposit(amount):
            return [Deposited(amount)]
        case Withdraw(amount):
            if amount > account.balance:
                raise Refused(f"{amount} of {account.balance}")
            return (Withdrawn(part) for part in (amount // 2, amount - amount // 2))


DECIDER: Decider[Account, Command, Event] = Decider(initial=Account, decide=decide, evolve=evolve)


@dataclasses.dataclass
class Ledger:
    """A state that is changed in place."""

    lines: list[int] = dataclasses.field(default_factory=list[int])


class Ledgers(Projection[Ledger]):
    def initial(self) -> Ledger:
        return Ledger()

    @apply
    def moved(self, ledger: Ledger, event: Deposited | Withdrawn) -> None:
        sign = 1 if isinstance(event, Deposited) else -1
        ledger.lines.append(sign * event.amount)
        if event.amount == 13:
            raise ValueError("thirteen")

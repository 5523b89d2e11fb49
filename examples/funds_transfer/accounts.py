"""Decisions about commands to an account. No database here."""

from __future__ import annotations

from typing import Generic, TypeAlias, TypeVar

import msgspec

from messagedb import Decider

from .messages import Deposit, Deposited, Open, Opened, Withdraw, WithdrawalRejected, Withdrawn

C = TypeVar("C")

Command: TypeAlias = Open | Deposit | Withdraw
Event: TypeAlias = Opened | Deposited | Withdrawn | WithdrawalRejected


class Received(msgspec.Struct, Generic[C], frozen=True):
    """A command, and its global position in the store."""

    command: C
    sequence: int


class Account(msgspec.Struct, frozen=True):
    owner: str = ""
    balance: int = 0
    sequence: int = 0
    """The global position of the last command that was handled."""


def decide(received: Received[Command], account: Account) -> Event | None:
    """Handle a command once: a repeated one has a sequence that was handled before."""
    command, sequence = received.command, received.sequence
    if sequence <= account.sequence:
        return None
    match command:
        case Open(id, owner):
            return None if account.owner else Opened(id, owner, sequence)
        case Deposit(id, amount):
            return Deposited(id, amount, sequence)
        case Withdraw(id, amount) if amount > account.balance:
            return WithdrawalRejected(id, amount, sequence)
        case Withdraw(id, amount):
            return Withdrawn(id, amount, sequence)


def evolve(account: Account, event: Event) -> Account:
    match event:
        case Opened(_, owner, sequence):
            return msgspec.structs.replace(account, owner=owner, sequence=sequence)
        case Deposited(_, amount, sequence):
            return Account(account.owner, account.balance + amount, sequence)
        case Withdrawn(_, amount, sequence):
            return Account(account.owner, account.balance - amount, sequence)
        case WithdrawalRejected(_, _, sequence):
            return msgspec.structs.replace(account, sequence=sequence)


DECIDER: Decider[Account, Received[Command], Event] = Decider(
    initial=Account, decide=decide, evolve=evolve
)

"""Decisions about accounts: pure functions, without a framework and without a database."""

from __future__ import annotations

import msgspec

from messagedb import Decider


class Deposit(msgspec.Struct, frozen=True):
    amount: int


class Withdraw(msgspec.Struct, frozen=True):
    amount: int


class Deposited(msgspec.Struct, frozen=True):
    amount: int


class Withdrawn(msgspec.Struct, frozen=True):
    amount: int


class InsufficientFunds(Exception):
    pass


def decide(command: Deposit | Withdraw, balance: int) -> Deposited | Withdrawn:
    if isinstance(command, Deposit):
        return Deposited(command.amount)
    if command.amount > balance:
        raise InsufficientFunds(f"{command.amount} of {balance}")
    return Withdrawn(command.amount)


def evolve(balance: int, event: Deposited | Withdrawn) -> int:
    return balance + event.amount if isinstance(event, Deposited) else balance - event.amount


DECIDER: Decider[int, Deposit | Withdraw, Deposited | Withdrawn] = Decider(
    initial=int, decide=decide, evolve=evolve
)

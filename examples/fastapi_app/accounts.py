"""What becomes of an account: pure decisions, which no framework and no database is needed for."""

from __future__ import annotations

import msgspec

from messagedb import Decider


class Deposited(msgspec.Struct, frozen=True):
    amount: int


class Withdrawn(msgspec.Struct, frozen=True):
    amount: int


class InsufficientFunds(Exception):
    pass


def decide(amount: int, balance: int) -> Deposited | Withdrawn:
    """Decide on an amount that is to come, or to go if it is less than zero."""
    if balance + amount < 0:
        raise InsufficientFunds(f"{-amount} of {balance}")
    return Deposited(amount) if amount > 0 else Withdrawn(-amount)


def evolve(balance: int, event: Deposited | Withdrawn) -> int:
    return balance + event.amount if isinstance(event, Deposited) else balance - event.amount


DECIDER: Decider[int, int, Deposited | Withdrawn] = Decider(
    initial=int, decide=decide, evolve=evolve
)

"""The entity of the commands: our account, whose events are the payload."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from messagedb import Decider

from . import payload


class Deposited(msgspec.Struct, frozen=True, rename="camel"):
    """The payload as a class."""

    account_id: str
    amount: float
    currency: str
    reference: str
    deposited_by: str
    branch: int
    confirmed: bool


class Account(msgspec.Struct, frozen=True):
    """The state."""

    balance: float = 0.0
    deposits: int = 0


class Deposit(msgspec.Struct, frozen=True):
    """The command."""

    amount: float


_EVENT: Final = msgspec.convert(payload.DATA, Deposited)

COMMAND: Final = Deposit(_EVENT.amount)
"""The command that is sent each time."""


def decide(command: Deposit, account: Account) -> Deposited:
    """Answer with an event of the payload's size."""
    if command.amount <= 0 or account.balance < 0:
        raise ValueError("only a deposit into an account that is not overdrawn is allowed")
    return msgspec.structs.replace(_EVENT, amount=command.amount)


def evolve(account: Account, event: Deposited) -> Account:
    """Add up."""
    return Account(account.balance + event.amount, account.deposits + 1)


DECIDER: Final[Decider[Account, Deposit, Any]] = Decider(
    initial=Account, decide=decide, evolve=evolve
)
"""Decider of the commands."""

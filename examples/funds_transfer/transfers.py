"""Decisions about a transfer: money leaves one account, then comes to the other."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from messagedb import Decider

from .messages import (
    Cancelled,
    Debited,
    Deposited,
    Initiated,
    Transfer,
    Transferred,
    WithdrawalRejected,
    Withdrawn,
)

Command: TypeAlias = Transfer | Withdrawn | WithdrawalRejected | Deposited
"""The command, and the events of the accounts."""

Event: TypeAlias = Initiated | Debited | Transferred | Cancelled


class FundsTransfer(msgspec.Struct, frozen=True):
    status: Literal["new", "initiated", "debited", "transferred", "cancelled"] = "new"
    id: str = ""
    from_account_id: str = ""
    to_account_id: str = ""
    amount: int = 0


def decide(command: Command, transfer: FundsTransfer) -> Event | None:
    """Take each step once: the status shows which steps were handled already."""
    match command, transfer.status:
        case Transfer(id, source, target, amount), "new":
            return Initiated(id, source, target, amount)
        case Withdrawn(), "initiated":
            return Debited(transfer.id)
        case WithdrawalRejected(), "initiated":
            return Cancelled(transfer.id)
        case Deposited(), "debited":
            return Transferred(transfer.id)
        case _:
            return None


def evolve(transfer: FundsTransfer, event: Event) -> FundsTransfer:
    match event:
        case Initiated(id, source, target, amount):
            return FundsTransfer("initiated", id, source, target, amount)
        case Debited():
            return msgspec.structs.replace(transfer, status="debited")
        case Transferred():
            return msgspec.structs.replace(transfer, status="transferred")
        case Cancelled():
            return msgspec.structs.replace(transfer, status="cancelled")


DECIDER: Decider[FundsTransfer, Command, Event] = Decider(
    initial=FundsTransfer, decide=decide, evolve=evolve
)

"""The messages of both components: camelCase in the store, for other services that read it."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from messagedb import MessageRegistry
from messagedb.streams import Category

registry = MessageRegistry()

account = Category("account")
funds_transfer = Category("fundsTransfer")


class Data(msgspec.Struct, frozen=True, rename="camel"):
    """Base of all messages."""


Amount: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
"""A message with another amount is not written: it could not be decoded."""


# Commands to accounts, in streams account:command-<id>.


@registry.add
class Open(Data, frozen=True):
    account_id: str
    owner: str


@registry.add
class Deposit(Data, frozen=True):
    account_id: str
    amount: Amount


@registry.add
class Withdraw(Data, frozen=True):
    account_id: str
    amount: Amount


# Events of accounts, in streams account-<id>. The sequence is the global position of the command.


@registry.add
class Opened(Data, frozen=True):
    account_id: str
    owner: str
    sequence: int


@registry.add
class Deposited(Data, frozen=True):
    account_id: str
    amount: Amount
    sequence: int


@registry.add
class Withdrawn(Data, frozen=True):
    account_id: str
    amount: Amount
    sequence: int


@registry.add
class WithdrawalRejected(Data, frozen=True):
    account_id: str
    amount: Amount
    sequence: int


# The command to transfers, in streams fundsTransfer:command-<id>.


@registry.add
class Transfer(Data, frozen=True):
    funds_transfer_id: str
    from_account_id: str
    to_account_id: str
    amount: Amount


# Events of transfers, in streams fundsTransfer-<id>.


@registry.add
class Initiated(Data, frozen=True):
    funds_transfer_id: str
    from_account_id: str
    to_account_id: str
    amount: Amount


@registry.add
class Debited(Data, frozen=True):
    funds_transfer_id: str


@registry.add
class Transferred(Data, frozen=True):
    funds_transfer_id: str


@registry.add
class Cancelled(Data, frozen=True):
    funds_transfer_id: str


# The reply, to the reply address in the metadata of the Transfer.


@registry.add
class RecordOutcome(Data, frozen=True):
    funds_transfer_id: str
    outcome: str

"""The messages of both components, and the names of their categories."""

from __future__ import annotations

from dataclasses import dataclass

from messagedb import MessageRegistry
from messagedb.streams import Category

registry = MessageRegistry()

order = Category("order")
payment = Category("payment")


# Events of orders, in streams order-<id>.


@registry.add
@dataclass(frozen=True)
class Placed:
    item: str
    amount: int


@registry.add
@dataclass(frozen=True)
class Confirmed:
    pass


@registry.add
@dataclass(frozen=True)
class Cancelled:
    reason: str


# The command to payments, in streams payment:command-<id>.


@registry.add
@dataclass(frozen=True)
class Pay:
    amount: int


# Events of payments, in streams payment-<id>.


@registry.add
@dataclass(frozen=True)
class Paid:
    amount: int


@registry.add
@dataclass(frozen=True)
class Declined:
    reason: str

"""Decisions about an order: pure functions, without a database."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from messagedb import Decider

from .messages import Cancelled, Confirmed, Declined, Paid, Placed


@dataclass(frozen=True)
class Place:
    item: str
    amount: int


@dataclass(frozen=True)
class Order:
    item: str = ""
    amount: int = 0
    state: str = "new"


class AlreadyPlaced(Exception):
    pass


Command: TypeAlias = Place | Paid | Declined
Event: TypeAlias = Placed | Confirmed | Cancelled


def decide(command: Command, order: Order) -> Event | None:
    if isinstance(command, Place):
        if order.state != "new":
            raise AlreadyPlaced(f"it is {order.state}")
        return Placed(command.item, command.amount)
    if order.state != "placed":
        return None  # the outcome of its payment is known already
    return Confirmed() if isinstance(command, Paid) else Cancelled(command.reason)


def evolve(order: Order, event: Event) -> Order:
    match event:
        case Placed(item, amount):
            return Order(item, amount, "placed")
        case Confirmed():
            return replace(order, state="confirmed")
        case Cancelled():
            return replace(order, state="cancelled")


DECIDER: Decider[Order, Command, Event] = Decider(initial=Order, decide=decide, evolve=evolve)

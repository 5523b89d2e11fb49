"""The decisions of the process: pure functions, without a database and without a clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from messagedb import Decider

from .messages import (
    CancellationDue,
    Declined,
    Ended,
    Paid,
    PaymentDue,
    Placed,
    RefundDue,
    Refunded,
    ShipmentCancelled,
    Shipped,
    ShippingDue,
    ShippingTimedOut,
)


@dataclass(frozen=True)
class Fulfillment:
    item: str = ""
    amount: int = 0
    waits_for: str = "an order"


Input: TypeAlias = (
    Placed | Paid | Declined | Refunded | Shipped | ShipmentCancelled | ShippingTimedOut
)
Event: TypeAlias = PaymentDue | ShippingDue | CancellationDue | RefundDue | Ended


def decide(input: Input, process: Fulfillment) -> Event | None:
    match process.waits_for, input:
        case "an order", Placed(item, amount):
            return PaymentDue(item, amount)
        case "payment", Paid():
            return ShippingDue()
        case "payment", Declined():
            return Ended("not paid")
        case "shipping", Shipped():
            return Ended("shipped")
        case "shipping", ShippingTimedOut():
            return CancellationDue()
        case "cancellation", Shipped():
            return Ended("shipped late")  # it had left before it could be cancelled
        case "cancellation", ShipmentCancelled():
            return RefundDue()
        case "refund", Refunded():
            return Ended("refunded")
        case _:
            return None  # a repeat, or a timeout of what has come meanwhile


def evolve(process: Fulfillment, event: Event) -> Fulfillment:
    match event:
        case PaymentDue(item, amount):
            return Fulfillment(item, amount, "payment")
        case ShippingDue():
            return replace(process, waits_for="shipping")
        case CancellationDue():
            return replace(process, waits_for="cancellation")
        case RefundDue():
            return replace(process, waits_for="refund")
        case Ended():
            return replace(process, waits_for="nothing")


DECIDER: Decider[Fulfillment, Input, Event] = Decider(
    initial=Fulfillment, decide=decide, evolve=evolve
)

"""The messages of three components: the process, payments and shipments."""

from __future__ import annotations

from dataclasses import dataclass

from messagedb import MessageRegistry
from messagedb.streams import Category

registry = MessageRegistry()

order = Category("order")
fulfillment = Category("fulfillment")  # the process
payment = Category("payment")
shipment = Category("shipment")


@registry.add
@dataclass(frozen=True)
class Placed:
    item: str
    amount: int


# Commands, in streams payment:command-<id> and shipment:command-<id>.


@registry.add
@dataclass(frozen=True)
class Pay:
    amount: int


@registry.add
@dataclass(frozen=True)
class Refund:
    amount: int


@registry.add
@dataclass(frozen=True)
class Ship:
    item: str


@registry.add
@dataclass(frozen=True)
class CancelShipment:
    pass


# Replies and the timeout: they arrive in the stream fulfillment:command-<id>.


@registry.add
@dataclass(frozen=True)
class Paid:
    pass


@registry.add
@dataclass(frozen=True)
class Declined:
    reason: str


@registry.add
@dataclass(frozen=True)
class Refunded:
    pass


@registry.add
@dataclass(frozen=True)
class Shipped:
    pass


@registry.add
@dataclass(frozen=True)
class ShipmentCancelled:
    pass


@registry.add
@dataclass(frozen=True)
class ShippingTimedOut:
    pass


# Events of the process: what is to be done next. They are in the stream fulfillment-<id>.


@registry.add
@dataclass(frozen=True)
class PaymentDue:
    item: str
    amount: int


@registry.add
@dataclass(frozen=True)
class ShippingDue:
    pass


@registry.add
@dataclass(frozen=True)
class CancellationDue:
    pass


@registry.add
@dataclass(frozen=True)
class RefundDue:
    pass


@registry.add
@dataclass(frozen=True)
class Ended:
    outcome: str

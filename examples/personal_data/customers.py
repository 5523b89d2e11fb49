"""Customers: their events, and their state, in which personal fields stay encrypted."""

from __future__ import annotations

import msgspec

from messagedb import Projection
from messagedb.entities import SnapshotPolicy


class Registered(msgspec.Struct, frozen=True):
    email: str  # encrypted
    plan: str


class Forgotten(msgspec.Struct, frozen=True):
    pass


class Customer(msgspec.Struct, frozen=True):
    email: str = ""  # encrypted
    plan: str = ""


def evolve(customer: Customer, event: Registered | Forgotten) -> Customer:
    if isinstance(event, Registered):
        return Customer(event.email, event.plan)
    return Customer("", customer.plan)


PROJECTION = Projection.of(Customer, evolve)
SNAPSHOTS = SnapshotPolicy(Customer, every_events=1)

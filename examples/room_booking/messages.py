"""The messages of the workflow, and the categories of their streams."""

from __future__ import annotations

from dataclasses import dataclass

from messagedb import MessageRegistry
from messagedb.streams import Category

registry = MessageRegistry()

booking = Category("booking")
payment = Category("payment")
door_key = Category("doorKey")


# Inputs of a booking, in the stream booking:command-<id>: the command, the reply, the timeout.


@registry.add
@dataclass(frozen=True)
class Book:
    room: str
    price: int


@registry.add
@dataclass(frozen=True)
class Charged:
    amount: int


@registry.add
@dataclass(frozen=True)
class PaymentTimedOut:
    pass


# Events of a booking, in the stream booking-<id>.


@registry.add
@dataclass(frozen=True)
class Requested:
    room: str
    price: int


@registry.add
@dataclass(frozen=True)
class Confirmed:
    pass


@registry.add
@dataclass(frozen=True)
class Expired:
    pass


@registry.add
@dataclass(frozen=True)
class PaidTooLate:
    amount: int


# The command to the payments, in payment:command-<id>, and the last event, in doorKey-<id>.


@registry.add
@dataclass(frozen=True)
class Charge:
    amount: int


@registry.add
@dataclass(frozen=True)
class KeyIssued:
    booking: str

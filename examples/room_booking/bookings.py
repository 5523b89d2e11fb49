"""The decisions about a booking: pure functions, without a store and without a clock."""

from __future__ import annotations

from typing import TypeAlias

from messagedb import Decider

from .messages import (
    Book,
    Charged,
    Confirmed,
    Expired,
    PaidTooLate,
    PaymentTimedOut,
    Requested,
)

Input: TypeAlias = Book | Charged | PaymentTimedOut
Event: TypeAlias = Requested | Confirmed | Expired | PaidTooLate


def decide(input: Input, state: str) -> Event | None:
    match state, input:
        case "new", Book(room, price):
            return Requested(room, price)
        case "requested", Charged():
            return Confirmed()
        case "requested", PaymentTimedOut():
            return Expired()
        case "expired", Charged(amount):
            return PaidTooLate(amount)
        case _:
            return None  # a repeat, or a timeout after the payment


def evolve(state: str, event: Event) -> str:
    match event:
        case Requested():
            return "requested"
        case Confirmed():
            return "confirmed"
        case Expired():
            return "expired"
        case PaidTooLate():
            return "paid too late"


DECIDER: Decider[str, Input, Event] = Decider(initial=lambda: "new", decide=decide, evolve=evolve)

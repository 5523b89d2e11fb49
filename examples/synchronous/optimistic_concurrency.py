"""Optimistic concurrency: a decision from an old version is refused, and made again."""  # generated from examples/asynchronous/optimistic_concurrency.py: edit that file

from __future__ import annotations

import msgspec

from messagedb import (
    NO_STREAM,
    Client,
    EntityStore,
    Decider,
    NewMessage,
    WrongExpectedVersionError,
)


class Booked(msgspec.Struct, frozen=True):
    seats: int


def decide(seats: int, booked: int) -> Booked:
    """Book seats of ten."""
    if booked + seats > 10:
        raise ValueError(f"only {10 - booked} seats are left")
    return Booked(seats)


def evolve(booked: int, event: Booked) -> int:
    """Count the seats that are booked."""
    return booked + event.seats


def main(address: str) -> None:
    """Let two customers book the same flight."""
    with Client(address) as client:
        scheduled = NewMessage("Scheduled", {"to": "Oslo"})
        client.write_message("flight-7", scheduled, expected_version=NO_STREAM)

        # Both have seen version 0; the first one to write wins.
        seen = client.stream_version("flight-7")
        first = NewMessage("Booked", {"seats": 6})
        client.write_message("flight-7", first, expected_version=seen)
        try:
            second = NewMessage("Booked", {"seats": 6})
            client.write_message("flight-7", second, expected_version=seen)
        except WrongExpectedVersionError as error:
            print("too late: expected", error.expected_version, "and found", error.actual_version)

        # An entity store does all of this: load, decide, write with the version, retry a conflict.
        decider = Decider(initial=int, decide=decide, evolve=evolve)
        flights = EntityStore(client, "flight", decider=decider)
        booked = flights.transact("7", 3)
        print("booked, at version", booked.version, "in", booked.attempts, "attempt")
        try:
            flights.transact("7", 2)
        except ValueError as error:
            print("refused:", error)

"""A program that sends commands with keys, and notes each answer that it got; it is killed."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import msgspec

from messagedb import AsyncClient, AsyncEntityStore, Client, Decider, EntityStore

# A program whose killer is gone, as the test run itself was killed, ends by itself.
_LONGEST = 60


class Added(msgspec.Struct, frozen=True):
    key: int
    total: int


class Add(msgspec.Struct, frozen=True):
    key: int


def decide(command: Add, total: int) -> list[Added]:
    """Decide in another way each time: how many events, and which, depends on the state."""
    return [Added(command.key, total + 1 + n) for n in range(1 + total % 3)]


def evolve(total: int, event: Added) -> int:
    return total + 1


DECIDER: Decider[int, Add, Added] = Decider(initial=int, decide=decide, evolve=evolve)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one program.

    Attributes:
        variant: the variant of the library.
        url: of the database.
        category: of the entity.
        keys: how many commands there are.
        notes: the file of the responses: a line each.
    """

    variant: Literal["async", "sync"]
    url: str
    category: str
    keys: int
    notes: str

    def left(self) -> range:
        """Return the keys whose responses were not recorded yet, whole lines only."""
        return range(len(answers(self.notes)), self.keys)


class Answer(msgspec.Struct, frozen=True):
    """An answer, as it was noted."""

    key: int
    positions: tuple[int, ...]
    version: int
    entity: int
    totals: tuple[int, ...]


def answers(notes: str) -> list[Answer]:
    """Return the answers that were noted."""
    path = Path(notes)
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [msgspec.json.decode(line, type=Answer) for line in lines]


def note(order: Order, key: int, done: Any) -> None:
    """Note an answer, in one write."""
    totals = tuple(event.total for event in done.events)
    answer = Answer(key, done.positions, done.version, done.entity, totals)
    file = os.open(order.notes, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(file, msgspec.json.encode(answer) + b"\n")
    os.close(file)


async def run_async(order: Order) -> None:
    """Send the remaining commands by the async variant."""
    async with AsyncClient(order.url, max_size=1) as client:
        store = AsyncEntityStore(client, order.category, decider=DECIDER)
        for key in order.left():
            note(order, key, await store.transact("1", Add(key), id=f"{key}", max_attempts=99))


def run_sync(order: Order) -> None:
    """Send the remaining commands by the sync variant."""
    with Client(order.url, max_size=1) as client:
        store = EntityStore(client, order.category, decider=DECIDER)
        for key in order.left():
            note(order, key, store.transact("1", Add(key), id=f"{key}", max_attempts=99))


SENDERS = 8


async def run_many_async(order: Order) -> None:
    """Send commands without keys, several at the same time, until the program is killed."""
    numbers = itertools.count(time.time_ns())
    async with AsyncClient(order.url, max_size=2) as client:
        store = AsyncEntityStore(client, order.category, decider=DECIDER)

        async def send() -> None:
            while len(answers(order.notes)) < order.keys:
                number = next(numbers)
                note(order, number, await store.transact("1", Add(number), max_attempts=999))

        await asyncio.gather(*(send() for _ in range(SENDERS)))


def run_many_sync(order: Order) -> None:
    """Send commands without keys, in several threads, until the program is killed."""
    numbers = itertools.count(time.time_ns())
    with Client(order.url, max_size=2) as client, ThreadPoolExecutor(SENDERS) as threads:
        store = EntityStore(client, order.category, decider=DECIDER)

        def send(_sender: int) -> None:
            while len(answers(order.notes)) < order.keys:
                number = next(numbers)
                note(order, number, store.transact("1", Add(number), max_attempts=999))

        list(threads.map(send, range(SENDERS)))


def main_many(order: Order) -> None:
    """Send commands at the same time, until enough were answered or it is killed."""
    signal.alarm(_LONGEST)
    if order.variant == "async":
        asyncio.run(run_many_async(order))
    else:
        run_many_sync(order)


def main(order: Order) -> None:
    """Send them, until it ends or is killed."""
    signal.alarm(_LONGEST)
    if order.variant == "async":
        asyncio.run(run_async(order))
    else:
        run_sync(order)

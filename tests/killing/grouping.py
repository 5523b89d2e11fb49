"""A program whose writers share transactions, and note their positions, until it is killed."""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec

from messagedb import ANY, AsyncClient, Client, NewMessage

WRITERS = 24

# A program whose killer is gone, as the test run itself was killed, ends by itself.
_LONGEST = 60


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one program.

    Attributes:
        variant: the variant of the library.
        url: of the database.
        category: the beginning of the names of three categories.
        life: the number of the program, by which its messages differ from those of others.
        notes: the file of the responses: a line each.
    """

    variant: Literal["async", "sync"]
    url: str
    category: str
    life: int
    notes: str

    def stream(self, writer: int) -> str:
        """Return the stream of a writer; three share one."""
        return f"{self.category}{writer % 3}-{writer // 3}"


class Note(msgspec.Struct, frozen=True):
    """A response, as it was noted."""

    stream_name: str
    id: str
    position: int


def read_notes(path: str) -> list[Note]:
    """Return the noted responses, whole lines only."""
    file = Path(path)
    if not file.exists():
        return []
    lines = file.read_bytes().split(b"\n")[:-1]
    return [msgspec.json.decode(line, type=Note) for line in lines]


def main(order: Order) -> None:
    """Write until the program is killed."""
    signal.alarm(_LONGEST)
    with open(order.notes, "ab", buffering=0) as file:
        if order.variant == "async":
            asyncio.run(_write_async(order, file.fileno()))
        else:
            _write(order, file.fileno())


def _note(descriptor: int, stream: str, message: NewMessage, position: int) -> None:
    # One call: a kill leaves a whole line, or none.
    line = msgspec.json.encode(Note(stream, str(message.id), position)) + b"\n"
    os.write(descriptor, line)


def _build_message(order: Order, writer: int) -> NewMessage:
    return NewMessage("Written", {"life": order.life, "writer": writer})


async def _write_async(order: Order, descriptor: int) -> None:
    async with AsyncClient(order.url, group_commit=True, max_size=4) as client:

        async def work(writer: int) -> None:
            stream = order.stream(writer)
            while True:
                message = _build_message(order, writer)
                position = await client.write_message(stream, message, expected_version=ANY)
                _note(descriptor, stream, message, position)

        await asyncio.gather(*(work(writer) for writer in range(WRITERS)))


def _write(order: Order, descriptor: int) -> None:
    with (
        Client(order.url, group_commit=True, max_size=4) as client,
        ThreadPoolExecutor(WRITERS) as threads,
    ):

        def work(writer: int) -> None:
            stream = order.stream(writer)
            while True:
                message = _build_message(order, writer)
                position = client.write_message(stream, message, expected_version=ANY)
                _note(descriptor, stream, message, position)

        list(threads.map(work, range(WRITERS)))

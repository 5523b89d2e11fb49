"""The process of the idle consumers: it starts them, and prints its CPU time for each line."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from time import perf_counter, process_time
from typing import Any

import msgspec

from messagedb import AsyncClient, AsyncConsumer, Message


class Job(msgspec.Struct, frozen=True):
    """The consumers to run.

    Attributes:
        conninfo: the store.
        prefix: the categories are called this, an x, and a number.
        count: the number of consumers.
    """

    conninfo: str
    prefix: str
    count: int


class Started(msgspec.Struct, frozen=True):
    """All consumers have caught up.

    Attributes:
        seconds: the duration of the start.
    """

    seconds: float


class Cost(msgspec.Struct, frozen=True):
    """Resources that the process has used.

    Attributes:
        seconds: its CPU time.
    """

    seconds: float


async def main() -> None:
    """Do the job from standard input, until that is closed."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    async with AsyncClient(job.conninfo) as client:
        consumers = [_consumer(client, f"{job.prefix}x{n}") for n in range(job.count)]
        async with AsyncExitStack() as running:
            begun = perf_counter()
            for consumer in consumers:
                await running.enter_async_context(consumer.running())
            for consumer in consumers:
                await consumer.wait_until_caught_up()
            _say(Started(perf_counter() - begun))
            while await asyncio.to_thread(sys.stdin.buffer.readline):
                _say(Cost(process_time()))


def _consumer(client: AsyncClient, category: str) -> AsyncConsumer:
    consumer = AsyncConsumer(client, category, identifier="idle")

    @consumer.handler
    async def handle(message: Message[Any]) -> None:
        pass

    return consumer


def _say(answer: Started | Cost) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(main())

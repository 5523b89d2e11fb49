"""A process that shares the work of a consumer: it handles messages until it is asked how many."""

from __future__ import annotations

import asyncio
import sys
from time import time
from typing import Any, Final

import msgspec

from messagedb import AsyncClient, AsyncConsumer, AsyncContext, Message, TablePositionStore

IDENTIFIER: Final = "shared"
TABLE: Final = "public.shared"
_UPSERT: Final = f"""
INSERT INTO {TABLE} AS t VALUES (%s, 1)
ON CONFLICT (account) DO UPDATE SET count = t.count + 1
""".encode()


class Job(msgspec.Struct, frozen=True):
    """The consumer to run.

    Attributes:
        conninfo: the store.
        category: that of its messages.
        size: the number of partitions; None for a consumer without them.
        owned: how many partitions this process has when all have started; None without them.
        wait: seconds for which the handler waits; None to write a row with the position.
    """

    conninfo: str
    category: str
    size: int | None
    owned: int | None
    wait: float | None


class Done(msgspec.Struct, frozen=True):
    """The messages that this process has handled.

    Attributes:
        count: how many.
        first: when the first one was begun, in seconds since 1970; 0 if none was.
        last: when the last one was done.
    """

    count: int
    first: float
    last: float


class _Work:
    """Handles the messages, and counts them."""

    def __init__(self, wait: float | None) -> None:
        self.done = Done(0, 0.0, 0.0)
        self._wait = wait

    async def handle(self, message: Message[Any], context: AsyncContext) -> None:
        first = self.done.first or time()
        if self._wait is None:
            await context.transaction.connection.execute(_UPSERT, [message.stream_name])
        else:
            await asyncio.sleep(self._wait)
        self.done = Done(self.done.count + 1, first, time())


async def main() -> None:
    """Do the job from standard input, until that is closed."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    work = _Work(job.wait)
    async with AsyncClient(job.conninfo, max_size=10) as client:
        consumer = AsyncConsumer(
            client,
            job.category,
            identifier=IDENTIFIER,
            partitions=job.size,
            transactional=job.wait is None,
            position_store=TablePositionStore(),
        )
        consumer.handler(work.handle)
        async with consumer.running():
            if job.owned is None:
                await consumer.wait_until_caught_up()
            else:
                await _wait_for_share(consumer, job.owned)
            _say(b"ready")
            await asyncio.to_thread(sys.stdin.buffer.readline)
            _say(msgspec.json.encode(work.done))


async def _wait_for_share(consumer: AsyncConsumer, owned: int) -> None:
    while len(consumer.status().partitions or ()) != owned:  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0.02)


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(main())

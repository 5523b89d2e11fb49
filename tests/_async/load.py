"""A load for consumers under faults: a writer that never gives up, and handlers that take note."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    Message,
    NewMessage,
    OutcomeUnknownError,
    StoreUnavailableError,
)
from messagedb.consumers import AsyncConsumerBase, ConsumerStatus
from tests.support.background_async import sleep

COMMAND_TIMEOUT = 1.0
# What a consumer takes to go on at most: a call that is given up, a wait, and the next call.
GOES_ON = COMMAND_TIMEOUT + 1.0 + 5.0 + 1.0

FAST: dict[str, Any] = {
    "batch_size": 50,
    "poll_interval": 0.02,
    "idle_poll_interval": 0.05,
    "position_update_interval": 10,
    "position_update_seconds": 0.1,
    "lease_timeout": 1.0,
}
"""Options of a consumer that notices everything soon."""

Numbers = dict[str, list[int]]
"""Numbers by the id of their stream."""


class Load:
    """Writes numbered messages to three streams in turn, each until it is known to be stored.

    Attributes:
        stop: set it to let it end.
    """

    def __init__(self, client: AsyncClient, category: str, pause: float = 0.005) -> None:
        self.stop = False
        self._pause = pause
        self._client = client
        self._category = category
        self._count = 0

    @property
    def written(self) -> Numbers:
        """Return the numbers in the streams."""
        return {str(n): list(range((self._count + 2 - n) // 3)) for n in range(3)}

    async def run(self) -> None:
        """Write until it is to stop."""
        while not self.stop:
            number, stream = divmod(self._count, 3)
            message = NewMessage("Noted", {"n": number})
            while not await self._write(f"{self._category}-{stream}", message):
                await sleep(0.02)
            self._count += 1
            # Not more than transactions one after the other can follow.
            await sleep(self._pause)

    async def _write(self, stream: str, message: NewMessage) -> bool:
        try:
            await self._client.write_message(stream, message)
        except (OutcomeUnknownError, StoreUnavailableError):
            return False
        return True


def note(consumer: AsyncConsumer) -> Numbers:
    """Add a handler that does nothing to the consumer; return the messages it is called for."""
    seen: Numbers = {}

    @consumer.handler
    async def note_it(message: Message[Any]) -> None:
        seen.setdefault(message.stream_name.partition("-")[2], []).append(message.data["n"])

    return seen


def copy(consumer: AsyncConsumer, category: str) -> None:
    """Add a handler to the consumer that writes each number to another category.

    Nothing but the transaction that it is in keeps it from writing one twice.
    """

    @consumer.handler
    async def copy_it(message: Message[Any], context: AsyncContext) -> None:
        stream = f"{category}-{message.stream_name.partition('-')[2]}"
        await context.client.write_message(stream, NewMessage("Copied", message.data))


async def numbers_of(client: AsyncClient, category: str) -> Numbers:
    """Return the numbers in the streams of a category, in order."""
    numbers: Numbers = {}
    for message in await client.get_category_messages(category, batch_size=-1):
        id = message.stream_name.partition("-")[2]
        numbers.setdefault(id, []).append(message.data["n"])
    return numbers


def status_of(consumer: AsyncConsumerBase) -> ConsumerStatus:
    """Return the status of a consumer, which has not failed."""
    status = consumer.status()
    assert status.state != "failed", status
    return status


def have_gone_on(consumers: Sequence[AsyncConsumerBase], before: list[int], more: int = 5) -> bool:
    """Return True if each of them has handled so many more messages than before."""
    counts = [status_of(consumer).handled_count for consumer in consumers]
    return all(now > was + more for now, was in zip(counts, before, strict=True))


def handled(consumers: Sequence[AsyncConsumerBase]) -> list[int]:
    """Return how many messages each of them has handled."""
    return [status_of(consumer).handled_count for consumer in consumers]

"""Helpers for the tests of consumers: numbered messages, and handlers that record them."""

from __future__ import annotations

from typing import Any

from messagedb import (
    AsyncAllConsumer,
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    Message,
    NewMessage,
)
from messagedb.consumers import HandlerOutcome


def numbered(first: int, count: int, type_name: str = "Noted") -> list[NewMessage]:
    """Make so many messages, with numbers from the first on."""
    return [NewMessage(type_name, {"n": n}) for n in range(first, first + count)]


async def write(client: AsyncClient, stream: str, first: int, count: int) -> list[int]:
    """Write so many numbered messages to a stream, and give their global positions."""
    await client.write_messages(stream, numbered(first, count))
    return [message.global_position for message in await stream_of(client, stream)][-count:]


async def stream_of(client: AsyncClient, stream: str) -> list[Message[Any]]:
    """Return the messages of a stream, also of one without an id."""
    category = stream.partition("-")[0]
    messages = await client.get_category_messages(category, batch_size=-1)
    return [message for message in messages if message.stream_name == stream]


def record_numbers(consumer: AsyncConsumer | AsyncAllConsumer) -> list[int]:
    """Add a handler for everything to the consumer; return the list that it adds numbers to."""
    seen: list[int] = []

    @consumer.handler
    async def note(message: Message[Any]) -> None:
        seen.append(message.data["n"])

    return seen


async def saved(client: AsyncClient, consumer: AsyncConsumer) -> list[int]:
    """Return the positions that a consumer has stored in its stream, in order."""
    return [record.data["position"] for record in await stream_of(client, consumer.name)]


class Trouble:
    """A handler that notes its calls and has trouble with the message of number 1."""

    def __init__(self, problem: Exception | None, times: int = 1000, *, by: str = "raise") -> None:
        self.problem = problem
        self.times = times
        self.by = by
        self.calls: list[tuple[int, int]] = []

    @property
    def seen(self) -> list[int]:
        return [n for n, _ in self.calls]

    async def handle(self, message: Message[Any], context: AsyncContext) -> HandlerOutcome | None:
        self.calls.append((message.data["n"], context.attempt))
        if message.data["n"] == 1 and self.problem is not None and self.times > 0:
            self.times -= 1
            if self.by == "return":
                assert isinstance(self.problem, HandlerOutcome)
                return self.problem
            raise self.problem
        return None

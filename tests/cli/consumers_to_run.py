"""Targets for the CLI: consumers, and objects that are not."""

from __future__ import annotations

import os
import threading
from typing import Any
from uuid import UUID, uuid5

from messagedb import AsyncClient, AsyncConsumer, Client, Consumer, Message, NewMessage
from messagedb.consumers import NO_RETRY

CATEGORY = os.environ.get("CATEGORY", "unknown")

nothing = 42


def copy_id(message: Message[Any]) -> UUID:
    """Return the id of a message's copy, the same each time."""
    return uuid5(message.id, "copy")


def copying(client: Client) -> Consumer:
    """Return a consumer that copies each message, and puts a bad one aside."""
    consumer = Consumer(
        client,
        CATEGORY,
        identifier="copying",
        retry=NO_RETRY,
        on_error="park_stream" if os.environ.get("HOLDS") else "park",
        poll_interval=0.02,
    )

    @consumer.handler
    def copy(message: Message[Any]) -> None:
        if message.type == os.environ.get("BAD"):
            raise ValueError("bad")
        copied = NewMessage(message.type, id=copy_id(message))
        client.write_message(f"{CATEGORY}Copy-1", copied)

    return consumer


def breaking(client: Client) -> Consumer:
    """Return a consumer whose handler fails as a closed pipe of the command itself would."""
    consumer = Consumer(client, "breaking", identifier="breaking", retry=NO_RETRY)

    @consumer.handler
    def fail(message: Message[Any]) -> None:
        raise BrokenPipeError("the handler's own")

    return consumer


def sharing(client: Client) -> Consumer:
    """Return a consumer of four partitions, which handles nothing."""
    consumer = Consumer(
        client,
        CATEGORY,
        identifier="sharing",
        partitions=4,
        lease_timeout=2.0,
        member_name=os.environ["MEMBER"],
    )

    @consumer.handler
    def handle(message: Message[Any]) -> None:
        pass

    return consumer


def stuck(client: Client) -> Consumer:
    """Return a consumer that fails at a bad message, and never comes back from a slow one."""
    consumer = Consumer(client, CATEGORY, identifier="stuck")

    @consumer.handler
    def handle(message: Message[Any]) -> None:
        if message.type == "Bad":
            raise ValueError("no such address")
        if message.type == "Slow":
            threading.Event().wait()

    return consumer


def unready(client: Client) -> Consumer:
    """Fail before there is a consumer."""
    raise BrokenPipeError("the function's own")


async def copying_async(client: AsyncClient) -> list[AsyncConsumer]:
    """Return the same of the async variant, in a list."""
    consumer = AsyncConsumer(client, CATEGORY, identifier="copying", retry=NO_RETRY)

    @consumer.handler
    async def copy(message: Message[Any]) -> None:
        await client.write_message(
            f"{CATEGORY}Copy-1", NewMessage(message.type, id=copy_id(message))
        )

    return [consumer]


ready = Consumer(Client(os.environ.get("MESSAGEDB_URL", "")), CATEGORY, identifier="ready")


@ready.handler
def ignore(message: Message[Any]) -> None:
    """Do nothing with it."""

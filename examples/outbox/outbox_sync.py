"""The outbox with threads: its consumer, for any of the brokers."""

from __future__ import annotations

from typing import Any, Protocol

from messagedb import Client, Consumer, Message

from .outbox_async import FOREVER


class Publisher(Protocol):
    """Publishes a message, and returns when the broker has confirmed it."""

    def publish(self, message: Message[Any]) -> None:
        """Publish a message; raise any error if the broker did not confirm it."""

    def close(self) -> None:
        """Close the connection."""


def create_outbox(
    client: Client, publisher: Publisher, *, category: str = "order", save_every: int = 100
) -> Consumer:
    """Return the consumer; after a crash up to about *save_every* messages are published again."""
    outbox = Consumer(
        client,
        category,
        identifier=f"outbox{type(publisher).__name__}",
        retry=FOREVER,
        position_update_interval=save_every,
        position_update_seconds=save_every / 100,
    )

    @outbox.handler
    def publish(message: Message[Any]) -> None:
        publisher.publish(message)

    return outbox

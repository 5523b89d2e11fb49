"""The outbox with asyncio: its consumer, for any of the brokers."""

from __future__ import annotations

from typing import Any, Protocol

from messagedb import AsyncClient, AsyncConsumer, Message, RetryPolicy

# A broker may be unavailable for hours: no message is given up, and none is skipped.
FOREVER = RetryPolicy(max_attempts=1_000_000_000, delay=0.1, max_delay=2.0)


class Publisher(Protocol):
    """Publishes a message, and returns when the broker has confirmed it."""

    async def publish(self, message: Message[Any]) -> None:
        """Publish a message; raise any error if the broker did not confirm it."""

    async def close(self) -> None:
        """Close the connection."""


def create_outbox(
    client: AsyncClient, publisher: Publisher, *, category: str = "order", save_every: int = 100
) -> AsyncConsumer:
    """Return the consumer; after a crash up to about *save_every* messages are published again."""
    outbox = AsyncConsumer(
        client,
        category,
        identifier=f"outbox{type(publisher).__name__}",
        retry=FOREVER,
        position_update_interval=save_every,
        position_update_seconds=save_every / 100,
    )

    @outbox.handler
    async def publish(message: Message[Any]) -> None:
        await publisher.publish(message)

    return outbox

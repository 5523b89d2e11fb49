"""NATS JetStream, with nats-py: the server drops a message whose id it has had lately."""

from __future__ import annotations

from typing import Any

import nats
from nats.aio.client import Client as NatsClient

from messagedb import Message

from .cloud_event import CONTENT_TYPE, encode, topic_of


async def ignore(error: Exception) -> None:
    """Do not log the error: the call raises it, and the consumer logs it."""


class Nats:
    """Publishes to the JetStream stream that has the subject, and connects again after an error."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: NatsClient | None = None

    async def publish(self, message: Message[Any]) -> None:
        """Return when the stream has stored the message, or had it already."""
        if self._connection is None or self._connection.is_closed:
            # The consumer tries again; a client that did so, too, would only hide why it waits.
            self._connection = await nats.connect(
                self._url,
                allow_reconnect=False,
                connect_timeout=10,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                error_cb=ignore,
            )
        await self._connection.jetstream().publish(
            topic_of(message),
            encode(message),
            timeout=10,
            headers={"Nats-Msg-Id": str(message.id), "Content-Type": CONTENT_TYPE},
        )

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()

"""Redis Streams, with redis-py: a script adds a message unless its id was added lately."""

from __future__ import annotations

from typing import Any

from redis import Redis as RedisClient

from messagedb import Message

from .cloud_event import encode, topic_of
from .redis_async import ADD_ONCE, REMEMBERED_SECONDS


class Redis:
    """Publishes to the stream ``{messages}``; the client connects again by itself."""

    def __init__(self, url: str) -> None:
        self._client = RedisClient.from_url(url, socket_timeout=10)
        self._add_once = self._client.register_script(ADD_ONCE)

    def publish(self, message: Message[Any]) -> None:
        """Return when the stream has the message, or had it already."""
        id = str(message.id)
        self._add_once(
            keys=["{messages}", f"{{messages}}:{id}"],
            args=[REMEMBERED_SECONDS, id, topic_of(message), encode(message)],
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

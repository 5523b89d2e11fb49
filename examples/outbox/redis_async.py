"""Redis Streams, with redis-py: a script adds a message unless its id was added lately."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis as RedisClient

from messagedb import Message

from .cloud_event import encode, topic_of

REMEMBERED_SECONDS = 86_400

# Both keys have one hash tag, so that they are on one node of a cluster.
ADD_ONCE = """
if redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[1]) then
    redis.call('XADD', KEYS[1], '*', 'id', ARGV[2], 'topic', ARGV[3], 'event', ARGV[4])
end
"""


class Redis:
    """Publishes to the stream ``{messages}``; the client connects again by itself."""

    def __init__(self, url: str) -> None:
        self._client = RedisClient.from_url(url, socket_timeout=10)
        self._add_once = self._client.register_script(ADD_ONCE)

    async def publish(self, message: Message[Any]) -> None:
        """Return when the stream has the message, or had it already."""
        id = str(message.id)
        await self._add_once(
            keys=["{messages}", f"{{messages}}:{id}"],
            args=[REMEMBERED_SECONDS, id, topic_of(message), encode(message)],
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

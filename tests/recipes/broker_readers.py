"""Reading a broker in a test: how many messages it has, and their ids and bodies."""

# pyright: reportUnknownMemberType=false
# The types of nats-py and redis are partial.

from __future__ import annotations

import json
from typing import Any, Protocol

import aio_pika
import nats
from redis.asyncio import Redis

QUEUE = "shipping"


class Reader(Protocol):
    """Reads what an outbox has published to a broker."""

    async def prepare(self) -> None:
        """Create what the outbox publishes to."""

    async def count(self) -> int:
        """Return how many messages the broker has."""
        raise NotImplementedError

    async def read(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the id by which the broker knows each message, and the event in it."""
        raise NotImplementedError


class RabbitMQReader:
    """Reads a queue that is bound to all topics of the exchange."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def prepare(self) -> None:
        async with await aio_pika.connect(self._url) as connection:
            channel = await connection.channel()
            topic = aio_pika.ExchangeType.TOPIC
            exchange = await channel.declare_exchange("messages", topic, durable=True)
            queue = await channel.declare_queue(QUEUE, durable=True)
            await queue.bind(exchange, "#")

    async def count(self) -> int:
        async with await aio_pika.connect(self._url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(QUEUE, passive=True)
            return queue.declaration_result.message_count or 0

    async def read(self) -> list[tuple[str, dict[str, Any]]]:
        found: list[tuple[str, dict[str, Any]]] = []
        async with await aio_pika.connect(self._url) as connection:
            queue = await (await connection.channel()).declare_queue(QUEUE, passive=True)
            while (received := await queue.get(fail=False)) is not None:
                found.append((str(received.message_id), json.loads(received.body)))
        return found


class NatsReader:
    """Reads a stream of JetStream."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def prepare(self) -> None:
        connection = await nats.connect(self._url)
        await connection.jetstream().add_stream(name=QUEUE, subjects=["*.*"])
        await connection.close()

    async def count(self) -> int:
        connection = await nats.connect(self._url)
        info = await connection.jetstream().stream_info(QUEUE)
        await connection.close()
        return info.state.messages

    async def read(self) -> list[tuple[str, dict[str, Any]]]:
        count = await self.count()
        connection = await nats.connect(self._url)
        stream = connection.jetstream()
        messages = [await stream.get_msg(QUEUE, number + 1) for number in range(count)]
        await connection.close()
        return [
            ((message.headers or {})["Nats-Msg-Id"], json.loads(message.data or b""))
            for message in messages
        ]


class RedisReader:
    """Reads a stream of Redis."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def prepare(self) -> None:
        """The first message creates the stream."""

    async def count(self) -> int:
        async with Redis.from_url(self._url) as client:
            return int(await client.xlen("{messages}"))

    async def read(self) -> list[tuple[str, dict[str, Any]]]:
        async with Redis.from_url(self._url, decode_responses=True) as client:
            entries: Any = await client.xrange("{messages}")  # their types are those of RESP 3, too
        return [(fields["id"], json.loads(fields["event"])) for _, fields in entries]

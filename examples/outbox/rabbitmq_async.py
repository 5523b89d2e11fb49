"""RabbitMQ, with aio-pika: a topic exchange, persistent messages, publisher confirms."""

from __future__ import annotations

from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange

from messagedb import Message

from .cloud_event import CONTENT_TYPE, encode, topic_of

EXCHANGE = "messages"


class RabbitMQ:
    """Publishes to an exchange, and connects again after an error."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None

    async def publish(self, message: Message[Any]) -> None:
        """Return when the broker has stored the message in a queue."""
        exchange = await self.open_exchange()
        await exchange.publish(
            aio_pika.Message(
                encode(message),
                message_id=str(message.id),
                content_type=CONTENT_TYPE,
                type=message.type,
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            ),
            routing_key=topic_of(message),
            mandatory=True,  # an error if no queue takes it: otherwise it would be lost
            timeout=10,
        )

    async def open_exchange(self) -> AbstractExchange:
        """Return the exchange of an open channel: after an error that of a new connection."""
        if self._exchange is None or self._channel is None or self._channel.is_closed:
            await self.close()
            self._connection = await aio_pika.connect(self._url, timeout=10)
            self._channel = await self._connection.channel(
                publisher_confirms=True, on_return_raises=True
            )
            self._exchange = await self._channel.declare_exchange(
                EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True
            )
        return self._exchange

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection, self._exchange = self._connection, None, None
        if connection is not None:
            await connection.close()

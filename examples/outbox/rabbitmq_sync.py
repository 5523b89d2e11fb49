"""RabbitMQ, with pika: a topic exchange, persistent messages, publisher confirms."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from messagedb import Message

from .cloud_event import CONTENT_TYPE, encode, topic_of
from .rabbitmq_async import EXCHANGE


class RabbitMQ:
    """Publishes to an exchange, and connects again after an error. For one thread."""

    def __init__(self, url: str) -> None:
        self._parameters = pika.URLParameters(url)
        self._parameters.heartbeat = 30
        self._parameters.blocked_connection_timeout = 10
        self._connection: pika.BlockingConnection | None = None
        self._channel: BlockingChannel | None = None

    def publish(self, message: Message[Any]) -> None:
        """Return when the broker has stored the message in a queue."""
        try:
            self.open_channel().basic_publish(
                EXCHANGE,
                routing_key=topic_of(message),
                body=encode(message),
                properties=pika.BasicProperties(
                    message_id=str(message.id),
                    content_type=CONTENT_TYPE,
                    type=message.type,
                    delivery_mode=pika.DeliveryMode.Persistent.value,
                ),
                mandatory=True,  # an error if no queue takes it: otherwise it would be lost
            )
        except Exception:
            self.close()  # a lost connection stays lost, and pika has several errors for it
            raise

    def open_channel(self) -> BlockingChannel:
        """Return an open channel: after an error, or a long silence, that of a new connection."""
        if self._connection is not None:
            try:
                self._connection.process_data_events()  # sees that the broker has hung up
            except (AMQPError, ValueError):  # ValueError: pika has closed its event loop
                self.close()
        if self._channel is None or self._channel.is_closed:
            self.close()
            self._connection = pika.BlockingConnection(self._parameters)
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()
            self._channel.exchange_declare(EXCHANGE, "topic", durable=True)
        return self._channel

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and connection.is_open:
            with suppress(AMQPError):  # the broker may hang up first
                connection.close()

"""The program that is killed: consumers of either variant that record messages in a table."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import sys
import time
from contextlib import AsyncExitStack, ExitStack
from typing import Any, Literal

import msgspec
import psycopg

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    AsyncReadModel,
    Client,
    Consumer,
    Context,
    Message,
    Park,
    ReadModel,
    Stop,
    StreamPositionStore,
    TablePositionStore,
    run_consumers,
    run_consumers_async,
)
from messagedb.consumers import AsyncBatchContext, BatchContext

Variant = Literal["async", "sync"]

IDENTIFIER = "killed"

# Held by a test that blocks a handler until it releases it.
GATE = 4711
PASS_GATE = b"SELECT pg_advisory_lock_shared(%s), pg_advisory_unlock_shared(%s)"

NOTE = b"""
INSERT INTO effects (category, member, life, stream_name, position, global_position)
VALUES (%s, %s, %s, %s, %s, %s)
"""

# A worker whose killer is gone, as the test run itself was killed, ends by itself.
_LONGEST = 180

MODELS = "models"
"""The schema of read models."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one worker.

    Attributes:
        variant: the variant of the library.
        url: of the database.
        category: the category to consume.
        beside: another one, for a second consumer in the same process.
        life: a number in its records, to distinguish it from the workers before and after it.
        member: the number of the member of a group.
        partitions: the number of partitions; None for none.
        transactional: whether effects and position are one transaction.
        transaction_size: how many messages are handled in one.
        batches: whether the handler gets lists of messages.
        model: whether it is a read model.
        table: whether positions are stored in the table.
        gate: the position in a stream of messages whose handler waits for the gate.
        gate_after: whether it waits after it has recorded the message, and not before.
        parks: the position in a stream of messages that are parked.
        holds_stream: whether what follows in the stream is parked behind them.
        replays: whether it replays parked messages, and ends.
        beside_fails: whether the second consumer stops with an error at its first message.
        random_seconds: each handler takes a random time of at most so many seconds.
    """

    variant: Variant
    url: str
    category: str
    beside: str | None = None
    life: int = 0
    member: int | None = None
    size: int | None = None
    partitions: int | None = None
    transactional: bool = False
    transaction_size: int | None = None
    batches: bool = False
    model: bool = False
    table: bool = False
    concurrency: int = 1
    batch_size: int = 100
    interval: int = 50
    seconds: float = 1.0
    lease_timeout: float = 10.0
    transaction_timeout: float = 30.0
    stop_timeout: float = 10.0
    gate: int | None = None
    gate_after: bool = False
    parks: int | None = None
    holds_stream: bool = False
    replays: bool = False
    beside_fails: bool = False
    random_seconds: float = 0.0

    @property
    def position_name(self) -> str:
        """Where the position of the consumer is stored."""
        group = "" if self.size is None else f"+{self.member}+{self.size}"
        return f"{self.category}:position-{IDENTIFIER}{group}"

    def model_options(self) -> dict[str, Any]:
        """Return the arguments of the read model."""
        return {
            "name": self.category.lower(),
            "version": 1,
            "schema": MODELS,
            "create": "CREATE TABLE {table} (position bigint PRIMARY KEY)",
            "batch_size": self.batch_size,
            "poll_interval": 0.02,
            "lease_timeout": self.lease_timeout,
        }

    def options(self) -> dict[str, Any]:
        """Return the arguments of the consumer."""
        return {
            "identifier": IDENTIFIER,
            "batch_size": self.batch_size,
            "position_update_interval": self.interval,
            "position_update_seconds": self.seconds,
            "position_store": TablePositionStore() if self.table else StreamPositionStore(),
            "poll_interval": 0.02,
            "transactional": self.transactional,
            "transaction_timeout": self.transaction_timeout,
            "transaction_size": self.transaction_size,
            "group_member": self.member,
            "group_size": self.size,
            "partitions": self.partitions,
            "concurrency": self.concurrency,
            "lease_timeout": self.lease_timeout,
        }

    def check(self, message: Message[Any]) -> None:
        """Fail where it is to."""
        if self.beside_fails and message.stream_name.partition("-")[0] == self.beside:
            raise Stop("no more today")

    def waits(self, message: Message[Any], *, after: bool) -> bool:
        """Return True if a handler waits for the gate, before or after recording the message."""
        return message.position == self.gate and after == self.gate_after

    def park(self, message: Message[Any]) -> None:
        """Park the message if it is to be."""
        if message.position == self.parks:
            raise Park("no more today", stream=self.holds_stream)

    def note(self, message: Message[Any]) -> tuple[Any, ...]:
        """Return the values that are noted of a message."""
        place = (message.stream_name, message.position, message.global_position)
        category = message.stream_name.partition("-")[0]
        return (category, self.member or 0, self.life, *place)


async def run_async(order: Order) -> None:
    """Run consumers of the async variant."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(AsyncClient(order.url, max_size=4))
        consumers: list[Any] = []
        for category in filter(None, (order.category, order.beside)):
            conn = await stack.enter_async_context(
                await psycopg.AsyncConnection.connect(order.url, autocommit=True)
            )
            consumer: Any = (
                AsyncReadModel(client, category, **order.model_options())
                if order.model
                else AsyncConsumer(client, category, **order.options())
            )
            if order.batches:
                _handle_batches_async(consumer, order, conn)
            else:
                _handle_async(consumer, order, conn)
            consumers.append(consumer)
        if order.replays:
            await consumers[0].replay_parked()
        elif order.beside is None:
            await consumers[0].run(signals=True, stop_timeout=order.stop_timeout)
        else:
            await run_consumers_async(*consumers, stop_timeout=order.stop_timeout)


def _handle_async(
    consumer: AsyncConsumer, order: Order, conn: psycopg.AsyncConnection[Any]
) -> None:
    @consumer.handler
    async def note(message: Message[Any], context: AsyncContext) -> None:
        order.check(message)
        if order.random_seconds:
            await asyncio.sleep(random.uniform(0, order.random_seconds))
        if order.waits(message, after=False):
            await conn.execute(PASS_GATE, (GATE, GATE))
        order.park(message)
        to = context.transaction.connection if order.transactional else conn
        await to.execute(NOTE, order.note(message))
        if order.waits(message, after=True):
            await conn.execute(PASS_GATE, (GATE, GATE))


def _handle_batches_async(
    consumer: AsyncConsumer | AsyncReadModel, order: Order, conn: psycopg.AsyncConnection[Any]
) -> None:
    @consumer.batch_handler
    async def note(messages: list[Message[Any]], context: AsyncBatchContext) -> None:
        to = context.transaction.connection if order.transactional else conn
        async with to.cursor() as cursor:
            await cursor.executemany(NOTE, [order.note(message) for message in messages])


def run_sync(order: Order) -> None:
    """Run consumers of the sync variant."""
    with ExitStack() as stack:
        client = stack.enter_context(Client(order.url, max_size=4))
        consumers: list[Any] = []
        for category in filter(None, (order.category, order.beside)):
            conn = stack.enter_context(psycopg.connect(order.url, autocommit=True))
            consumer: Any = (
                ReadModel(client, category, **order.model_options())
                if order.model
                else Consumer(client, category, **order.options())
            )
            if order.batches:
                _handle_batches_sync(consumer, order, conn)
            else:
                _handle_sync(consumer, order, conn)
            consumers.append(consumer)
        if order.replays:
            consumers[0].replay_parked()
        elif order.beside is None:
            consumers[0].run(signals=True, stop_timeout=order.stop_timeout)
        else:
            run_consumers(*consumers, stop_timeout=order.stop_timeout)


def _handle_sync(consumer: Consumer, order: Order, conn: psycopg.Connection[Any]) -> None:
    @consumer.handler
    def note(message: Message[Any], context: Context) -> None:
        order.check(message)
        if order.random_seconds:
            time.sleep(random.uniform(0, order.random_seconds))
        if order.waits(message, after=False):
            conn.execute(PASS_GATE, (GATE, GATE))
        order.park(message)
        to = context.transaction.connection if order.transactional else conn
        to.execute(NOTE, order.note(message))
        if order.waits(message, after=True):
            conn.execute(PASS_GATE, (GATE, GATE))


def _handle_batches_sync(
    consumer: Consumer | ReadModel, order: Order, conn: psycopg.Connection[Any]
) -> None:
    @consumer.batch_handler
    def note(messages: list[Message[Any]], context: BatchContext) -> None:
        to = context.transaction.connection if order.transactional else conn
        with to.cursor() as cursor:
            cursor.executemany(NOTE, [order.note(message) for message in messages])


def main(order: Order) -> None:
    """Work until it is stopped or killed."""
    signal.alarm(_LONGEST)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    if order.variant == "async":
        asyncio.run(run_async(order))
    else:
        run_sync(order)


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Order))

"""The app: bookings, payments, door keys, and a list of what waits for a payment. Async variant."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

import msgspec

from messagedb import AsyncApp, AsyncClient, AsyncContext, AsyncEntityStore
from messagedb.consumers import NO_RETRY

from .bank import bank
from .bookings import DECIDER
from .messages import (
    Book,
    Charge,
    Charged,
    Confirmed,
    Expired,
    KeyIssued,
    PaymentTimedOut,
    Requested,
    booking,
    door_key,
    payment,
    registry,
)

PAYMENT_TIME = timedelta(hours=1)

app = AsyncApp(registry=registry)

# A booking takes commands, replies and timeouts.

inbox = app.consumer(booking.command_category, name="inbox")


@inbox.handler
async def decide(input: Book | Charged | PaymentTimedOut, context: AsyncContext) -> None:
    bookings = AsyncEntityStore(context.client, booking.name, decider=DECIDER)
    id = booking.parse_id(context.message.stream_name)
    await bookings.transact(id, input, following=context.message)


# Its events lead to what is next.

process = app.consumer(booking.name, identifier="process")


@process.handler
async def ask_for_payment(event: Requested, context: AsyncContext) -> None:
    id = booking.parse_id(context.message.stream_name)
    replies = booking.command_stream_name(id)
    await context.client.write_message(
        payment.command_stream_name(id),
        Charge(event.price),
        id=context.derive_id("charge"),
        metadata=msgspec.structs.replace(context.following(), reply_stream_name=replies),
    )


@process.handler
async def issue_key(event: Confirmed, context: AsyncContext) -> None:
    id = booking.parse_id(context.message.stream_name)
    await context.client.write_message(
        door_key.stream_name(id), KeyIssued(id), id=context.derive_id("key")
    )


# Payments know the bank, and the stream for the reply. What the bank does not take is parked.

payments = app.consumer(payment.command_category, name="payments", retry=NO_RETRY, on_error="park")


@payments.handler
async def charge(command: Charge, context: AsyncContext) -> None:
    bank.charge(context.derive_id("bank"), command.amount)
    replies, metadata = context.following().take_reply()
    reply = Charged(command.amount)
    await context.client.write_message(
        replies, reply, id=context.derive_id("reply"), metadata=metadata
    )


# What waits for a payment, and since when: the time is that of the event.

waiting = app.read_model(
    booking.name,
    name="waiting",
    version=1,
    create="CREATE TABLE {table} (id text PRIMARY KEY, since timestamptz NOT NULL)",
)
INSERT = waiting.format_sql("INSERT INTO {table} VALUES (%s, %s)")
DELETE = waiting.format_sql("DELETE FROM {table} WHERE id = %s")
OVERDUE = f"SELECT id FROM {waiting.view} WHERE since <= %s ORDER BY id".encode()


@waiting.handler
async def add(event: Requested, context: AsyncContext) -> None:
    message = context.message
    id = booking.parse_id(message.stream_name)
    await context.transaction.connection.execute(INSERT, [id, message.time])


@waiting.handler
async def remove(event: Confirmed | Expired, context: AsyncContext) -> None:
    id = booking.parse_id(context.message.stream_name)
    await context.transaction.connection.execute(DELETE, [id])


async def time_out(client: AsyncClient, now: datetime) -> list[str]:
    """Write the timeouts that are due at a time, each once; return the ids of the bookings."""
    async with client.transaction(read_only=True) as tx:
        cursor = await tx.connection.execute(OVERDUE, [now - PAYMENT_TIME])
        ids = [str(id) for (id,) in await cursor.fetchall()]
    for id in ids:
        stream_name = booking.command_stream_name(id)
        key = uuid5(NAMESPACE_URL, f"{stream_name}/timeout")
        await client.write_message(stream_name, PaymentTimedOut(), id=key)
    return ids

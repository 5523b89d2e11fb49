"""The app: the process, and two components that only know their own commands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from messagedb import AsyncApp, AsyncContext, AsyncEntityStore
from messagedb.streams import Category

from .messages import (
    CancellationDue,
    CancelShipment,
    Declined,
    Paid,
    Pay,
    PaymentDue,
    Placed,
    Refund,
    RefundDue,
    Refunded,
    Ship,
    ShipmentCancelled,
    Shipped,
    ShippingDue,
    ShippingTimedOut,
    fulfillment,
    order,
    payment,
    registry,
    shipment,
)
from .process import DECIDER, Input
from .timers_async import write_later

LIMIT = 1000
SHIPPING_TIME = timedelta(days=3)

app = AsyncApp(registry=registry)

# The process takes three inputs: orders, replies, and timeouts. Each moves its state on.

orders = app.consumer(order.name, identifier="fulfillment", transactional=True)
inbox = app.consumer(fulfillment.command_category, transactional=True)


@orders.handler
async def begin(event: Placed, context: AsyncContext) -> None:
    await move_on(order, event, context)


@inbox.handler
async def receive(
    input: Paid | Declined | Refunded | Shipped | ShipmentCancelled | ShippingTimedOut,
    context: AsyncContext,
) -> None:
    await move_on(fulfillment, input, context)


async def move_on(category: Category, input: Input, context: AsyncContext) -> None:
    process = AsyncEntityStore(context.client, fulfillment.name, decider=DECIDER)
    id = category.parse_id(context.message.stream_name)
    await process.transact(id, input, following=context.message)


# Its events say what is due: commands to others, and a timer, each once.

actions = app.consumer(fulfillment.name, identifier="actions", transactional=True)


@actions.handler
async def ask_for_payment(event: PaymentDue, context: AsyncContext) -> None:
    await send(payment, Pay(event.amount), context)


@actions.handler
async def ask_for_shipping(event: ShippingDue, context: AsyncContext) -> None:
    process = AsyncEntityStore(context.client, fulfillment.name, decider=DECIDER)
    id = fulfillment.parse_id(context.message.stream_name)
    await send(shipment, Ship((await process.load(id)).entity.item), context)
    await write_later(
        context.transaction.connection,
        SHIPPING_TIME,
        fulfillment.command_stream_name(id),
        ShippingTimedOut.__name__,
        context.derive_id("timeout"),
    )


@actions.handler
async def compensate(event: CancellationDue | RefundDue, context: AsyncContext) -> None:
    if isinstance(event, CancellationDue):
        await send(shipment, CancelShipment(), context)
    else:
        process = AsyncEntityStore(context.client, fulfillment.name, decider=DECIDER)
        id = fulfillment.parse_id(context.message.stream_name)
        await send(payment, Refund((await process.load(id)).entity.amount), context)


async def send(category: Category, command: Any, context: AsyncContext) -> None:
    id = fulfillment.parse_id(context.message.stream_name)
    replies = fulfillment.command_stream_name(id)
    await context.client.write_message(
        category.command_stream_name(id),
        command,
        metadata=msgspec.structs.replace(context.following(), reply_stream_name=replies),
    )


# Payments and shipments. They know nothing of the process but the stream for the reply.

payments = app.consumer(payment.command_category, transactional=True)
shipments = app.consumer(shipment.command_category, transactional=True)


@payments.handler
async def pay(command: Pay | Refund, context: AsyncContext) -> None:
    if isinstance(command, Refund):
        await reply(Refunded(), context)
    else:
        await reply(Declined("too much") if command.amount > LIMIT else Paid(), context)


@shipments.handler
async def ship(command: Ship | CancelShipment, context: AsyncContext) -> None:
    if isinstance(command, CancelShipment):
        await reply(ShipmentCancelled(), context)
    elif command.item != "piano":  # a piano waits for strong people, and nothing is heard of it
        await reply(Shipped(), context)


async def reply(answer: Any, context: AsyncContext) -> None:
    stream_name, metadata = context.following().take_reply()
    await context.client.write_message(stream_name, answer, metadata=metadata)

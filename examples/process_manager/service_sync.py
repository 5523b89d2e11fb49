"""The app: the process, and two components that only know their own commands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from messagedb import App, Context, EntityStore
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
from .timers_sync import write_later

LIMIT = 1000
SHIPPING_TIME = timedelta(days=3)

app = App(registry=registry)

# The process takes three inputs: orders, replies, and timeouts. Each moves its state on.

orders = app.consumer(order.name, identifier="fulfillment", transactional=True)
inbox = app.consumer(fulfillment.command_category, transactional=True)


@orders.handler
def begin(event: Placed, context: Context) -> None:
    move_on(order, event, context)


@inbox.handler
def receive(
    input: Paid | Declined | Refunded | Shipped | ShipmentCancelled | ShippingTimedOut,
    context: Context,
) -> None:
    move_on(fulfillment, input, context)


def move_on(category: Category, input: Input, context: Context) -> None:
    process = EntityStore(context.client, fulfillment.name, decider=DECIDER)
    id = category.parse_id(context.message.stream_name)
    process.transact(id, input, following=context.message)


# Its events say what is due: commands to others, and a timer, each once.

actions = app.consumer(fulfillment.name, identifier="actions", transactional=True)


@actions.handler
def ask_for_payment(event: PaymentDue, context: Context) -> None:
    send(payment, Pay(event.amount), context)


@actions.handler
def ask_for_shipping(event: ShippingDue, context: Context) -> None:
    process = EntityStore(context.client, fulfillment.name, decider=DECIDER)
    id = fulfillment.parse_id(context.message.stream_name)
    send(shipment, Ship((process.load(id)).entity.item), context)
    write_later(
        context.transaction.connection,
        SHIPPING_TIME,
        fulfillment.command_stream_name(id),
        ShippingTimedOut.__name__,
        context.derive_id("timeout"),
    )


@actions.handler
def compensate(event: CancellationDue | RefundDue, context: Context) -> None:
    if isinstance(event, CancellationDue):
        send(shipment, CancelShipment(), context)
    else:
        process = EntityStore(context.client, fulfillment.name, decider=DECIDER)
        id = fulfillment.parse_id(context.message.stream_name)
        send(payment, Refund((process.load(id)).entity.amount), context)


def send(category: Category, command: Any, context: Context) -> None:
    id = fulfillment.parse_id(context.message.stream_name)
    replies = fulfillment.command_stream_name(id)
    context.client.write_message(
        category.command_stream_name(id),
        command,
        metadata=msgspec.structs.replace(context.following(), reply_stream_name=replies),
    )


# Payments and shipments. They know nothing of the process but the stream for the reply.

payments = app.consumer(payment.command_category, transactional=True)
shipments = app.consumer(shipment.command_category, transactional=True)


@payments.handler
def pay(command: Pay | Refund, context: Context) -> None:
    if isinstance(command, Refund):
        reply(Refunded(), context)
    else:
        reply(Declined("too much") if command.amount > LIMIT else Paid(), context)


@shipments.handler
def ship(command: Ship | CancelShipment, context: Context) -> None:
    if isinstance(command, CancelShipment):
        reply(ShipmentCancelled(), context)
    elif command.item != "piano":  # a piano waits for strong people, and nothing is heard of it
        reply(Shipped(), context)


def reply(answer: Any, context: Context) -> None:
    stream_name, metadata = context.following().take_reply()
    context.client.write_message(stream_name, answer, metadata=metadata)

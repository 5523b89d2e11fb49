"""The app: two components, of orders and of payments, and a read model.

Run it with ``messagedb run examples.order_service.service:app``.
"""

from __future__ import annotations

from messagedb import AsyncApp, AsyncContext, AsyncEntityStore

from .messages import Cancelled, Confirmed, Declined, Paid, Pay, Placed, order, payment, registry
from .orders import DECIDER

LIMIT = 1000

app = AsyncApp(registry=registry)

# The component of orders: it asks for the payment of each order, and hears what came of it.

checkout = app.consumer(order.name, identifier="checkout")
outcomes = app.consumer(payment.name, identifier="outcomes", correlation=order.name)


@checkout.handler
async def request_payment(event: Placed, context: AsyncContext) -> None:
    stream_name = context.message.stream_name
    await context.client.write_message(
        payment.command_stream_name(order.parse_id(stream_name)),
        Pay(event.amount),
        id=context.derive_id("pay"),
        metadata=context.following().with_correlation(stream_name),
    )


@outcomes.handler
async def record_outcome(event: Paid | Declined, context: AsyncContext) -> None:
    orders = AsyncEntityStore(context.client, order.name, decider=DECIDER)
    id = order.parse_id(context.metadata.correlation_stream_name or "")
    await orders.transact(id, event, following=context.message)


# The component of payments: it does not know orders.

payments = app.consumer(payment.command_category, identifier="payments")


@payments.handler
async def pay(command: Pay, context: AsyncContext) -> None:
    is_too_much = command.amount > LIMIT
    await context.client.write_message(
        payment.stream_name(payment.parse_id(context.message.stream_name)),
        Declined("too much") if is_too_much else Paid(command.amount),
        id=context.derive_id("paid"),
        metadata=context.following(),
    )


# The read model: a table with a row for each order.

order_list = app.read_model(
    order.name,
    name="order_list",
    version=1,
    create="CREATE TABLE {table} (id text PRIMARY KEY, item text, amount int, state text)",
)
INSERT = order_list.format_sql("INSERT INTO {table} VALUES (%s, %s, %s, 'placed')")
UPDATE = order_list.format_sql("UPDATE {table} SET state = %s WHERE id = %s")


@order_list.handler
async def add(event: Placed, context: AsyncContext) -> None:
    id = order.parse_id(context.message.stream_name)
    await context.transaction.connection.execute(INSERT, [id, event.item, event.amount])


@order_list.handler
async def change(event: Confirmed | Cancelled, context: AsyncContext) -> None:
    id = order.parse_id(context.message.stream_name)
    state = "confirmed" if isinstance(event, Confirmed) else "cancelled"
    await context.transaction.connection.execute(UPDATE, [state, id])

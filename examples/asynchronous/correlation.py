"""Correlation: a command goes to another component, and its reply comes back to the sender."""

from __future__ import annotations

from messagedb import AsyncClient, AsyncConsumer, AsyncContext, Message, Metadata, NewMessage


async def main(address: str) -> None:
    """Let orders request payments, and receive only events of their own payments."""
    async with AsyncClient(address) as client:
        # The component of payments does not know the sender. following() copies the correlation and
        # the reply address.
        payments = AsyncConsumer(client, "payment:command", identifier="payments")

        @payments.handler("Pay")
        async def pay(command: Message, context: AsyncContext) -> None:
            paid = NewMessage("Paid", command.data, metadata=context.following())
            await context.client.write_message(f"payment-{command.data['id']}", paid)

        # The component of orders only gets those events of payments that belong to its workflows.
        orders = AsyncConsumer(client, "payment", identifier="orders", correlation="order")

        @orders.handler("Paid")
        async def paid(event: Message, context: AsyncContext) -> None:
            order = context.metadata.correlation_stream_name
            print(order, "is paid:", event.data)
            done = NewMessage("Confirmed", None, metadata=context.following())
            await context.client.write_message(str(order), done)

        for sender, id in (("order-1", "a"), ("subscription-7", "b"), ("order-2", "c")):
            command = NewMessage(
                "Pay", {"id": id}, metadata=Metadata(correlation_stream_name=sender)
            )
            await client.write_message(f"payment:command-{id}", command)
        await payments.run(until="caught_up")
        await orders.run(until="caught_up")

        for stream in ("order-1", "subscription-7", "order-2"):
            print(stream, [message.type async for message in client.read_stream(stream)])

"""Correlation: a command goes to another component, and its reply comes back to the sender."""  # generated from examples/asynchronous/correlation.py: edit that file

from __future__ import annotations

from messagedb import Client, Consumer, Context, Message, Metadata, NewMessage


def main(address: str) -> None:
    """Let orders request payments, and receive only events of their own payments."""
    with Client(address) as client:
        # The component of payments does not know the sender. following() copies the correlation and
        # the reply address.
        payments = Consumer(client, "payment:command", identifier="payments")

        @payments.handler("Pay")
        def pay(command: Message, context: Context) -> None:
            paid = NewMessage("Paid", command.data, metadata=context.following())
            context.client.write_message(f"payment-{command.data['id']}", paid)

        # The component of orders only gets those events of payments that belong to its workflows.
        orders = Consumer(client, "payment", identifier="orders", correlation="order")

        @orders.handler("Paid")
        def paid(event: Message, context: Context) -> None:
            order = context.metadata.correlation_stream_name
            print(order, "is paid:", event.data)
            done = NewMessage("Confirmed", None, metadata=context.following())
            context.client.write_message(str(order), done)

        for sender, id in (("order-1", "a"), ("subscription-7", "b"), ("order-2", "c")):
            command = NewMessage(
                "Pay", {"id": id}, metadata=Metadata(correlation_stream_name=sender)
            )
            client.write_message(f"payment:command-{id}", command)
        payments.run(until="caught_up")
        orders.run(until="caught_up")

        for stream in ("order-1", "subscription-7", "order-2"):
            print(stream, [message.type for message in client.read_stream(stream)])

"""A consumer: handlers, failing attempts, and messages that are parked and replayed."""  # generated from examples/asynchronous/consuming.py: edit that file

from __future__ import annotations

import msgspec

from messagedb import (
    Client,
    Consumer,
    Context,
    Message,
    MessageRegistry,
    NewMessage,
    RetryPolicy,
)

registry = MessageRegistry()


@registry.add
class Placed(msgspec.Struct, frozen=True):
    item: str


def main(address: str) -> None:
    """Ship orders, except one whose item is not in stock at first."""
    in_stock = {"book"}
    with Client(address, registry=registry) as client:
        consumer = Consumer(
            client,
            "order",
            identifier="shipping",
            retry=RetryPolicy(max_attempts=2, delay=0.01),
            on_error="park",
        )

        @consumer.handler
        def ship(order: Placed, context: Context) -> None:
            print("attempt", context.attempt, "to ship a", order.item)
            if order.item not in in_stock:
                raise LookupError(f"no {order.item} is in stock")
            shipped = NewMessage("Shipped", {"item": order.item}, id=context.derive_id("shipped"))
            context.client.write_message("shipment-1", shipped)

        @consumer.handler  # all types without another handler
        def other(message: Message) -> None:
            print("skipped:", message.type)

        client.write_messages("order-1", [Placed("lamp"), NewMessage("Paid"), Placed("book")])
        consumer.run(until="caught_up")  # a service calls run(signals=True)
        status = consumer.status()
        print(
            "handled",
            status.handled_count,
            "parked",
            status.parked_count,
            "behind",
            status.lag_messages,
        )

        for parked in consumer.list_parked():
            print("parked:", parked.type, "because of", parked.reason)
        in_stock.add("lamp")
        print("replayed:", consumer.replay_parked())
        print("shipped:", [m.data["item"] for m in client.read_stream("shipment-1")])

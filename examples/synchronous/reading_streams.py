"""Reading streams: pages, iterators, categories, the last message, classes."""  # generated from examples/asynchronous/reading_streams.py: edit that file

from __future__ import annotations

import msgspec

from messagedb import Client, MessageRegistry, NewMessage

registry = MessageRegistry()


@registry.add
class Deposited(msgspec.Struct, frozen=True):
    amount: int


def main(address: str) -> None:
    """Read the written messages in all ways."""
    with Client(address, registry=registry) as client:
        client.write_message("account-1", NewMessage("Opened", {"owner": "Ada"}))
        client.write_messages("account-1", [Deposited(amount) for amount in (5, 7)])
        client.write_message("account-2", Deposited(9))

        # A page, from a position on.
        page = client.get_stream_messages("account-1", position=1, batch_size=10)
        print("page:", [(message.position, message.data) for message in page])

        # An iterator over all pages.
        for message in client.read_stream("account-1"):
            print("stream:", message.position, message.type)

        # A category: all streams of accounts, in the order in which they were written.
        for message in client.read_category("account"):
            print("category:", message.stream_name, message.type)

        # The last message of a stream, and of a type in it.
        last = client.get_last_stream_message("account-1", type="Opened")
        print("last Opened:", last.data if last is not None else None)

        # Directly into classes: messages of other types are skipped.
        types = registry.types(Deposited)
        amounts = [m.data.amount for m in client.read_category("account", types=types)]
        print("deposited:", sum(amounts))

"""Writing events: one, several together, with an id and metadata, as classes."""  # generated from examples/asynchronous/writing_events.py: edit that file

from __future__ import annotations

from uuid import uuid5

import msgspec

from messagedb import Client, MessageRegistry, Metadata, NewMessage

registry = MessageRegistry()


@registry.add
class Withdrawn(msgspec.Struct, frozen=True):
    amount: int


def main(address: str) -> None:
    """Write to one stream in all ways."""
    with Client(address, registry=registry) as client:
        # One message. The result is its position in the stream.
        opened = NewMessage("Opened", {"owner": "Ada"})
        print("written at", client.write_message("account-1", opened))

        # Several, all or none.
        deposits = [NewMessage("Deposited", {"amount": amount}) for amount in (5, 7)]
        print("written at", client.write_messages("account-1", deposits))

        # An instance of a registered class.
        print("written at", client.write_message("account-1", Withdrawn(2)))

        # With your own id, derived from its unique facts, and with metadata.
        id = uuid5(opened.id, "2026-11 interest")
        metadata = Metadata(properties={"job": "interest"})
        interest = NewMessage("InterestPaid", {"amount": 1}, metadata=metadata, id=id)
        print("written at", client.write_message("account-1", interest))
        print("once more:", client.write_message("account-1", interest))

        print("version:", client.stream_version("account-1"))

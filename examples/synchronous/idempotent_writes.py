"""Idempotent writes: a message that is sent twice is stored once, by any process."""  # generated from examples/asynchronous/idempotent_writes.py: edit that file

from __future__ import annotations

from messagedb import (
    Client,
    Consumer,
    Context,
    DuplicateMessageError,
    Message,
    NewMessage,
)


def main(address: str) -> None:
    """Send everything twice."""
    with Client(address) as client:
        # A message gets its id when it is created.
        deposited = NewMessage("Deposited", {"amount": 5})
        for _ in range(2):
            print("position", client.write_message("account-1", deposited))
        try:
            client.write_message("account-2", deposited)
        except DuplicateMessageError as error:
            print("in another stream:", error.stream_name)

        # A handler that is called again, as after a crash, writes the same message again.
        consumer = Consumer(client, "account", identifier="receipts")

        @consumer.handler("Deposited")
        def receipt(message: Message, context: Context) -> None:
            print("handling", message.stream_name)
            written = NewMessage("Receipt", message.data, id=context.derive_id("receipt"))
            context.client.write_message("receipt-1", written)

        for _ in range(2):
            consumer.reset_position("beginning")
            consumer.run(until="caught_up")
        print("receipts:", client.stream_version("receipt-1") + 1)

        # Two commands with one key of the caller: the first one gets it.
        for _ in range(2):
            command = NewMessage("Deposit", {"key": "k-1"})
            client.write_message("account:command-1", command)
        for command_read in client.get_stream_messages("account:command-1"):
            key = f"accountTransaction-{command_read.data['key']}"
            print("reserved:", client.reserve_command(command_read, key))

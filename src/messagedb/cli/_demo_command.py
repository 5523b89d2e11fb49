"""The command ``demo``, which uses a temporary store."""

from __future__ import annotations

import typer

from messagedb import Client, Consumer, Message, NewMessage, WrongExpectedVersionError

from ._help import DEVELOP, add_command
from ._message_rows import COLUMNS, build_message_row
from ._output import Output

_NEXT_STEPS_TEXT = """
Now in your own store, which needs no server:

  messagedb write account-123 Deposited '{"amount": 5}'
  messagedb read account --follow
  messagedb streams
  messagedb --help
"""


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    add_command(app, demo, DEVELOP, "messagedb demo")


def demo(ctx: typer.Context) -> None:
    """Show the main operations in a temporary store.

    The store is removed at the end.
    """
    output: Output = ctx.obj.output
    output.print_note("A temporary PostgreSQL is started; it is removed when this ends.")
    with Client("embedded:") as client:
        output.print_note(
            "\nThree messages are written to the stream account-123, one to account-456:"
        )
        client.write_message("account-123", NewMessage("Opened", {"owner": "Ada"}))
        client.write_messages(
            "account-123",
            [NewMessage("Deposited", {"amount": 5}), NewMessage("Withdrawn", {"amount": 2})],
        )
        client.write_message("account-456", NewMessage("Deposited", {"amount": 7}))
        output.print_rows(COLUMNS, map(build_message_row, client.read_category("account")))
        output.print_note("\nA write to account-123 that expects version 1 fails:")
        try:
            client.write_message("account-123", NewMessage("Closed"), expected_version=1)
        except WrongExpectedVersionError as error:
            output.print_note(f"  {error}")
        output.print_note(
            "\nA consumer gets each message of the category once, and stores its position:"
        )
        output.print_note(f"  deposited in all: {_get_balance(client)}")
    output.print_note(_NEXT_STEPS_TEXT.rstrip())


def _get_balance(client: Client) -> int:
    total = 0
    consumer = Consumer(client, "account", identifier="totals")

    @consumer.handler("Deposited")
    def add(message: Message) -> None:
        nonlocal total
        total += message.data["amount"]

    consumer.run(until="caught_up")
    return total

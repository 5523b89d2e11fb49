"""Two components in one process: open two accounts, move money, and print the results."""

from __future__ import annotations

from contextlib import ExitStack
from uuid import uuid4

from messagedb import Client, EntityStore, Metadata

from . import accounts
from .components_sync import account_component, funds_transfer_component
from .messages import Deposit, Open, RecordOutcome, Transfer, account, funds_transfer, registry


def main(address: str) -> None:
    """Run the demo in a store."""
    with Client(address, registry=registry) as client, ExitStack() as running:
        for consumer in [*account_component(client), *funds_transfer_component(client)]:
            running.enter_context(consumer.running())

        for id, owner in (("ada", "Ada"), ("bob", "Bob")):
            client.write_message(account.command_stream_name(id), Open(id, owner))
        client.write_message(account.command_stream_name("ada"), Deposit("ada", 100))

        # Only of this run: in a persistent store, the earlier transfers were replied to.
        replies = f"customer:reply-{uuid4()}"
        amounts = {str(uuid4()): amount for amount in (30, 500)}
        for id, amount in amounts.items():
            client.write_message(
                funds_transfer.command_stream_name(id),
                Transfer(id, "ada", "bob", amount),
                metadata=Metadata(reply_stream_name=replies),
            )

        outcomes: dict[str, str] = {}
        for message in client.subscribe("customer:reply"):
            if message.stream_name == replies:
                answer = message.decode(RecordOutcome)
                outcomes[answer.funds_transfer_id] = answer.outcome
                if len(outcomes) == len(amounts):
                    break
        for id, amount in amounts.items():
            print(f"transfer of {amount}: {outcomes[id]}")

        store = EntityStore(client, account.name, decider=accounts.DECIDER, read_only=True)
        for id in ("ada", "bob"):
            state = store.load(id).entity
            print(f"{state.owner} has {state.balance}")

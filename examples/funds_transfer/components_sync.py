"""The two components, with threads: the consumers of each, to run in separate processes."""

from __future__ import annotations

from messagedb import Client, Consumer, Context, EntityStore
from messagedb.streams import id as id_of

from . import accounts, transfers
from .accounts import Received
from .messages import (
    Cancelled,
    Debited,
    Deposit,
    Deposited,
    Initiated,
    Open,
    RecordOutcome,
    Transfer,
    Transferred,
    Withdraw,
    WithdrawalRejected,
    Withdrawn,
    account,
    funds_transfer,
)


def account_component(client: Client) -> list[Consumer]:
    """Handle the commands to accounts."""
    store = EntityStore(client, account.name, decider=accounts.DECIDER)
    commands = Consumer(client, account.command_category)

    @commands.handler
    def handle(command: Open | Deposit | Withdraw, context: Context) -> None:
        received = Received(command, context.message.global_position)
        store.transact(command.account_id, received, following=context.message)

    return [commands]


def funds_transfer_component(client: Client) -> list[Consumer]:
    """Handle the commands to transfers, their events, and the replies of accounts."""
    store = EntityStore(client, funds_transfer.name, decider=transfers.DECIDER)
    commands = Consumer(client, funds_transfer.command_category)
    events = Consumer(client, funds_transfer.name, identifier="process")
    told = Consumer(
        client, account.name, identifier="fundsTransfer", correlation=funds_transfer.name
    )

    @commands.handler
    def transfer(command: Transfer, context: Context) -> None:
        id = command.funds_transfer_id
        metadata = context.following().with_correlation(funds_transfer.stream_name(id))
        store.transact(id, command, following=context.message, metadata=metadata)

    @events.handler
    def initiated(event: Initiated, context: Context) -> None:
        context.client.write_message(
            account.command_stream_name(event.from_account_id),
            Withdraw(event.from_account_id, event.amount),
            id=context.derive_id("withdraw"),
            metadata=context.following(),
        )

    @told.handler
    def moved(event: Withdrawn | WithdrawalRejected | Deposited, context: Context) -> None:
        id = id_of(context.metadata.correlation_stream_name or "")
        if id:
            store.transact(id, event, following=context.message)

    @events.handler
    def debited(event: Debited, context: Context) -> None:
        known = store.load(event.funds_transfer_id)
        context.client.write_message(
            account.command_stream_name(known.entity.to_account_id),
            Deposit(known.entity.to_account_id, known.entity.amount),
            id=context.derive_id("deposit"),
            metadata=context.following(),
        )

    @events.handler
    def ended(event: Transferred | Cancelled, context: Context) -> None:
        if context.metadata.reply_stream_name is not None:
            stream_name, metadata = context.following().take_reply()
            context.client.write_message(
                stream_name,
                RecordOutcome(event.funds_transfer_id, type(event).__name__.lower()),
                id=context.derive_id("reply"),
                metadata=metadata,
            )

    return [commands, events, told]

"""The two components, with asyncio: the consumers of each, to run in separate processes."""

from __future__ import annotations

from messagedb import AsyncClient, AsyncConsumer, AsyncContext, AsyncEntityStore
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


def account_component(client: AsyncClient) -> list[AsyncConsumer]:
    """Handle the commands to accounts."""
    store = AsyncEntityStore(client, account.name, decider=accounts.DECIDER)
    commands = AsyncConsumer(client, account.command_category)

    @commands.handler
    async def handle(command: Open | Deposit | Withdraw, context: AsyncContext) -> None:
        received = Received(command, context.message.global_position)
        await store.transact(command.account_id, received, following=context.message)

    return [commands]


def funds_transfer_component(client: AsyncClient) -> list[AsyncConsumer]:
    """Handle the commands to transfers, their events, and the replies of accounts."""
    store = AsyncEntityStore(client, funds_transfer.name, decider=transfers.DECIDER)
    commands = AsyncConsumer(client, funds_transfer.command_category)
    events = AsyncConsumer(client, funds_transfer.name, identifier="process")
    told = AsyncConsumer(
        client, account.name, identifier="fundsTransfer", correlation=funds_transfer.name
    )

    @commands.handler
    async def transfer(command: Transfer, context: AsyncContext) -> None:
        id = command.funds_transfer_id
        metadata = context.following().with_correlation(funds_transfer.stream_name(id))
        await store.transact(id, command, following=context.message, metadata=metadata)

    @events.handler
    async def initiated(event: Initiated, context: AsyncContext) -> None:
        await context.client.write_message(
            account.command_stream_name(event.from_account_id),
            Withdraw(event.from_account_id, event.amount),
            id=context.derive_id("withdraw"),
            metadata=context.following(),
        )

    @told.handler
    async def moved(
        event: Withdrawn | WithdrawalRejected | Deposited, context: AsyncContext
    ) -> None:
        id = id_of(context.metadata.correlation_stream_name or "")
        if id:
            await store.transact(id, event, following=context.message)

    @events.handler
    async def debited(event: Debited, context: AsyncContext) -> None:
        known = await store.load(event.funds_transfer_id)
        await context.client.write_message(
            account.command_stream_name(known.entity.to_account_id),
            Deposit(known.entity.to_account_id, known.entity.amount),
            id=context.derive_id("deposit"),
            metadata=context.following(),
        )

    @events.handler
    async def ended(event: Transferred | Cancelled, context: AsyncContext) -> None:
        if context.metadata.reply_stream_name is not None:
            stream_name, metadata = context.following().take_reply()
            await context.client.write_message(
                stream_name,
                RecordOutcome(event.funds_transfer_id, type(event).__name__.lower()),
                id=context.derive_id("reply"),
                metadata=metadata,
            )

    return [commands, events, told]

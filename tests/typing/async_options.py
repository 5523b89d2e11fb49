"""The options of consumers and read models, in the async variant: each of them is checked."""

from __future__ import annotations

from typing import Any

from messagedb import (
    AsyncAllConsumer,
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    AsyncReadModel,
    StreamPositionStore,
    TablePositionStore,
)
from messagedb.consumers import NO_RETRY, AsyncConsumerOptions

client = AsyncClient()


async def middleware(context: AsyncContext, call_next: Any) -> Any:
    return await call_next(context)


def make_all() -> None:
    shared: AsyncConsumerOptions = {"batch_size": 10, "retry": NO_RETRY, "types": ("Deposited",)}
    AsyncConsumer(client, "account", identifier="x", **shared)
    AsyncConsumer(
        client,
        "account",
        start="end",
        batch_size=100,
        poll_interval=1,
        idle_poll_interval=2.0,
        position_update_interval=1,
        position_update_seconds=0.5,
        position_store=StreamPositionStore(),
        transactional=True,
        transaction_timeout=5.0,
        group_member=0,
        group_size=2,
        streams_without_id=1,
        correlation="order",
        condition="true",
        types=["Deposited"],
        concurrency=1,
        retry=None,
        on_error="park",
        middleware=[middleware],
        notify=True,
        lease_timeout=None,
        on_lost_history="continue",
    )
    AsyncAllConsumer(client, ["account"], identifier="x", start=5, concurrency=4, on_error=print)
    AsyncReadModel(
        client,
        "account",
        name="balances",
        version=1,
        create="CREATE TABLE {table} ()",
        position_store=TablePositionStore(),
        correlation="order",
        middleware=[middleware],
    )


def misspell() -> None:
    AsyncConsumer(client, "account", batch=10)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    AsyncConsumer(client, "account", batch_size="10")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    AsyncConsumer(client, "account", on_error="ignore")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    AsyncConsumer(client, "account", start="now")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    AsyncAllConsumer(client)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    AsyncAllConsumer(client, identifier="x", group_size=2)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    AsyncReadModel(client, "account", name="x", version=1, create="", transactional=False)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]

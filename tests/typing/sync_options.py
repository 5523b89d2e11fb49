"""The options of consumers and read models, in the sync variant: each of them is checked."""

from __future__ import annotations

from typing import Any

from messagedb import (
    AllConsumer,
    Client,
    Consumer,
    Context,
    ReadModel,
    StreamPositionStore,
    TablePositionStore,
)
from messagedb.consumers import NO_RETRY, ConsumerOptions

client = Client()


def middleware(context: Context, call_next: Any) -> Any:
    return call_next(context)


def make_all() -> None:
    shared: ConsumerOptions = {"batch_size": 10, "retry": NO_RETRY, "types": ("Deposited",)}
    Consumer(client, "account", identifier="x", **shared)
    Consumer(
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
    AllConsumer(client, ["account"], identifier="x", start=5, concurrency=4, on_error=print)
    ReadModel(
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
    Consumer(client, "account", batch=10)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Consumer(client, "account", batch_size="10")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Consumer(client, "account", on_error="ignore")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Consumer(client, "account", start="now")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    AllConsumer(client)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    AllConsumer(client, identifier="x", group_size=2)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    ReadModel(client, "account", name="x", version=1, create="", transactional=False)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]

"""The components of the funds-transfer example, in a process that is killed at a step of theirs."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Literal

import msgspec

from examples.funds_transfer import components_async, components_sync
from examples.funds_transfer.messages import registry
from messagedb import AsyncClient, Client, run_consumers, run_consumers_async

if TYPE_CHECKING:
    from messagedb._operations.requests import WriteRequest

Component = Literal["account", "fundsTransfer"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one process.

    Attributes:
        variant: the variant of the library.
        url: of the database.
        component: which of the two.
        kill_at: before or after which of its writes it is killed: 1 is before the first one, 2
            after it; None for never.
    """

    variant: Literal["async", "sync"]
    url: str
    component: Component
    kill_at: int | None = None


class Steps:
    """Counts the steps of a process, and kills it at one of them."""

    def __init__(self, kill_at: int | None) -> None:
        self._left = kill_at

    def take(self) -> None:
        """Take a step."""
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class DyingAsyncClient(AsyncClient):
    """Takes a step before and after each write, those of positions included."""

    steps: Steps

    async def _write(self, write: WriteRequest) -> list[int]:
        self.steps.take()
        positions = await super()._write(write)
        self.steps.take()
        return positions


class DyingClient(Client):
    """The same in the other variant."""

    steps: Steps

    def _write(self, write: WriteRequest) -> list[int]:
        self.steps.take()
        positions = super()._write(write)
        self.steps.take()
        return positions


async def run_async(order: Order) -> None:
    """Run a component of the async variant until SIGTERM."""
    async with DyingAsyncClient(order.url, registry=registry) as client:
        client.steps = Steps(order.kill_at)
        if order.component == "account":
            consumers = components_async.account_component(client)
        else:
            consumers = components_async.funds_transfer_component(client)
        await run_consumers_async(*consumers)


def run_sync(order: Order) -> None:
    """Run a component of the sync variant until SIGTERM."""
    with DyingClient(order.url, registry=registry) as client:
        client.steps = Steps(order.kill_at)
        if order.component == "account":
            consumers = components_sync.account_component(client)
        else:
            consumers = components_sync.funds_transfer_component(client)
        run_consumers(*consumers)


def main(order: Order, log: str) -> None:
    """Run a component, and write to a file what it says."""
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 2)
    if order.variant == "async":
        asyncio.run(run_async(order))
    else:
        run_sync(order)

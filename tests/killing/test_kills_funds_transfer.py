"""Components that move money, killed at each step: none of it is lost or made."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Literal

import pytest

from examples.funds_transfer import accounts, transfers
from examples.funds_transfer.messages import (
    Deposit,
    Open,
    RecordOutcome,
    Transfer,
    account,
    funds_transfer,
    registry,
)
from messagedb import Client, EntityStore, Metadata
from tests.conftest import NewDatabase
from tests.killing.processes import until
from tests.killing.transferring import Component, Order, main
from tests.support.backend import make_url

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.killing.transferring"])

PAID_IN = 1000
AMOUNT = 7
TOO_MUCH = 5000


class Process:
    """A component that runs."""

    def __init__(self, order: Order, log: Path) -> None:
        self.log = log
        self._process = _FORKS.Process(target=main, args=(order, str(log)), daemon=True)
        self._process.start()

    def is_dead(self) -> bool:
        return bool(wait([self._process.sentinel], 0))

    def stop(self) -> int | None:
        """Have it end well, unless it is killed on the way; give its exit status."""
        if self._process.is_alive() and self._process.pid is not None:
            os.kill(self._process.pid, signal.SIGTERM)
        self._process.join(20)
        return self._process.exitcode

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()


@contextmanager
def running(order: Order, log: Path) -> Generator[Process]:
    process = Process(order, log)
    try:
        yield process
    finally:
        process.end()


class Bank:
    """The accounts and transfers of one database, seen from outside."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.accounts = EntityStore(client, account.name, decider=accounts.DECIDER, read_only=True)
        self.transfers = EntityStore(
            client, funds_transfer.name, decider=transfers.DECIDER, read_only=True
        )
        for id in ("ada", "bob"):
            client.write_message(account.command_stream_name(id), Open(id, id))
        client.write_message(account.command_stream_name("ada"), Deposit("ada", PAID_IN))

    def transfer(self, id: str, amount: int) -> None:
        """Ask for a transfer."""
        self.client.write_message(
            funds_transfer.command_stream_name(id),
            Transfer(id, "ada", "bob", amount),
            metadata=Metadata(reply_stream_name=f"teller-{id}"),
        )

    def are_done(self, *ids: str) -> bool:
        """Return True if transfers have been answered."""
        return all(self.client.get_last_stream_message(f"teller-{id}") for id in ids)

    def balances(self) -> tuple[int, int]:
        """Return the balances of the two accounts."""
        return self.accounts.load("ada").entity.balance, self.accounts.load("bob").entity.balance


def is_over(victim: Process, done: Callable[[], bool]) -> bool:
    return victim.is_dead() or done()


@pytest.mark.parametrize("variant", ["async", "sync"])
@pytest.mark.parametrize("component", ["account", "fundsTransfer"])
def test_money_is_neither_lost_nor_made(
    new_database: NewDatabase,
    tmp_path: Path,
    variant: Literal["async", "sync"],
    component: Component,
) -> None:
    url = make_url(new_database(), user="message_store")
    other: Component = "account" if component == "fundsTransfer" else "fundsTransfer"
    victim_log = tmp_path / "victim.log"
    with (
        Client(url, registry=registry, max_size=2) as client,
        running(Order(variant=variant, url=url, component=other), tmp_path / "other.log") as beside,
    ):
        bank = Bank(client)
        moved, step = 0, 0
        while True:
            step += 1
            good, bad = f"t{step}", f"x{step}"
            order = Order(variant=variant, url=url, component=component, kill_at=step)
            done = partial(bank.are_done, good, bad)
            with running(order, victim_log) as victim:
                bank.transfer(good, AMOUNT)
                bank.transfer(bad, TOO_MUCH)
                until(partial(is_over, victim, done), victim_log.read_text, 20.0)
                # What it has not reached yet it may reach as it stores its positions.
                status = victim.stop()
            assert status in (0, -signal.SIGKILL), victim_log.read_text()
            if status == -signal.SIGKILL:
                again = Order(variant=variant, url=url, component=component)
                with running(again, victim_log) as survivor:
                    until(done, victim_log.read_text, 20.0)
                    # It may be stopped before it has set its signal handler.
                    assert survivor.stop() in (0, -signal.SIGTERM), victim_log.read_text()
            moved += AMOUNT
            assert bank.balances() == (PAID_IN - moved, moved)
            for id, outcome in ((good, "transferred"), (bad, "cancelled")):
                assert bank.transfers.load(id).entity.status == outcome
                replies = list(client.read_stream(f"teller-{id}"))
                assert [registry.decode(reply) for reply in replies] == [RecordOutcome(id, outcome)]
            if status == 0:
                break
        assert beside.stop() == 0
        commands = len(list(client.read_category(account.command_category)))
        print(
            f"{variant} {component}: killed at {step - 1} steps, {moved} moved, {commands} commands"
        )
        # Each transfer of the good ones has two commands, the others one, and three at first.
        assert commands == 3 + 3 * step
        assert step > (8 if component == "account" else 20)

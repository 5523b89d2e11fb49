"""Entities after a failover to a standby that lagged: no state of events that are gone."""

from __future__ import annotations

import pytest

from messagedb import NO_STREAM, AsyncClient, AsyncEntityStore, NewMessage
from messagedb._concurrency.backend_async import run_blocking
from messagedb.entities import LoadedEntity, SnapshotPolicy
from tests._async.accounts import (
    DECIDER,
    Account,
    Deposit,
    Deposited,
    Refused,
    Withdraw,
)
from tests.support.replication import Cluster, Node


def lose_tail(cluster: Cluster, stream: str, events: int) -> Node:
    """Let the standby, which is cut off, take over; others deposit 2 so many times."""
    standby = cluster.standby
    standby.clients.refuse()
    cluster.primary.power_cut()
    cluster.promote(standby)
    for _ in range(events):
        standby.execute(
            f"select message_store.write_message(gen_random_uuid()::text, '{stream}',"
            """ 'Deposited', '{"amount": 2}')"""
        )
    standby.clients.resume()
    return standby


def cut_link(cluster: Cluster) -> None:
    """Let the standby get nothing more."""
    cluster.wait_until_streaming()
    link = cluster.standby.link
    assert link is not None
    link.refuse()


@pytest.mark.parametrize("events", [0, 1, 2, 5])
@pytest.mark.parametrize("first", ["load", "get", "transact"])
async def test_a_command_is_decided_on_what_the_store_has(
    lagging: Cluster, category: str, events: int, first: str
) -> None:
    stream = f"{category}-1"
    async with AsyncClient(lagging.url(), max_size=2) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        await client.write_message(stream, Deposited(50))
        await run_blocking(cut_link, lagging)
        await client.write_messages(stream, [Deposited(3000), Deposited(1)])
        assert await accounts.load("1") == LoadedEntity(Account("", 3051, 3), 2)
        await run_blocking(lose_tail, lagging, stream, events)
        truth = Account("", 50 + 2 * events, 1 + events)
        if first == "load":
            assert await accounts.load("1") == LoadedEntity(truth, events)
        elif first == "get":
            assert await accounts.get("1") == truth
        with pytest.raises(Refused, match=f"2000 of {truth.balance}"):
            await accounts.transact("1", Withdraw(2000))
        assert (await accounts.transact("1", Deposit(1))).version == events + 1
        assert await accounts.load("1") == LoadedEntity(
            Account("", truth.balance + 1, truth.events + 1), events + 1
        )


async def test_an_entity_that_is_gone_is_not_there(lagging: Cluster, category: str) -> None:
    async with AsyncClient(lagging.url(), max_size=2) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        await client.write_message(f"{category}-other", Deposited(1))
        await run_blocking(cut_link, lagging)
        await accounts.transact("1", Deposit(3000))
        await run_blocking(lose_tail, lagging, f"{category}-1", 0)
        assert await accounts.get("1") is None
        assert await accounts.load("1") == LoadedEntity(Account(), NO_STREAM)
        assert (await accounts.transact("1", Deposit(1))).entity == Account("", 1, 1)


async def test_a_snapshot_of_events_that_are_gone_is_not_used(
    lagging: Cluster, category: str
) -> None:
    stream = f"{category}-1"
    snapshots = SnapshotPolicy(Account, every_events=2, specifier=category)
    async with AsyncClient(lagging.url(), max_size=2) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
        await client.write_message(stream, Deposited(50))
        await run_blocking(cut_link, lagging)
        await client.write_messages(stream, [Deposited(3000), Deposited(1)])
        assert (await accounts.load("1")).version == 2
        taken = await client.get_last_stream_message(snapshots.stream_name("1"))
        assert taken is not None
        await run_blocking(lose_tail, lagging, stream, 2)
        # What is in a backup, or in another process's memory, may be stored again.
        await client.write_message(taken.stream_name, NewMessage(taken.type, taken.data))
        again = AsyncEntityStore(client, category, decider=DECIDER, snapshots=snapshots)
        assert await again.load("1") == LoadedEntity(Account("", 54, 3), 2)


async def test_nothing_is_lost_and_the_state_stays_what_it_was(
    replicated: Cluster, category: str
) -> None:
    async with AsyncClient(replicated.url(), max_size=2) as client:
        accounts = AsyncEntityStore(client, category, decider=DECIDER)
        for n in range(3):
            assert (await accounts.transact("1", Deposit(10))).version == n
        for n in range(3, 5):
            old = replicated.primary
            await run_blocking(replicated.fail_over)
            assert (await accounts.transact("1", Deposit(10))).version == n
            assert await accounts.load("1") == LoadedEntity(Account("", 10 * (n + 1), n + 1), n)
            await run_blocking(replicated.rejoin, old)

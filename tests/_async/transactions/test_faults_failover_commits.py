"""A COMMIT whose server is gone: said to be stored only where it is, on the new primary."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    Message,
    NewMessage,
    OutcomeUnknownError,
    TablePositionStore,
)
from messagedb._concurrency.backend_async import run_blocking
from tests._async.consuming import numbered
from tests.support.background_async import Background, eventually
from tests.support.outcome import is_whole
from tests.support.replication import Cluster, Node
from tests.support.store import stored

NAME = "the client"


@asynccontextmanager
async def opened(cluster: Cluster, size: int = 1, **options: Any) -> AsyncGenerator[AsyncClient]:
    """Return a client of the cluster that has time enough to find the new primary."""
    url = cluster.url(application_name=NAME)
    async with AsyncClient(url, max_size=size, command_timeout=20.0, **options) as client:
        yield client


def ids_of(node: Node, stream: str) -> list[str]:
    """Return the ids of the messages that a node has in a stream."""
    return [id for id, _ in stored(node.url("store"), stream)]


def fail_over_in_doubt(cluster: Cluster) -> Node:
    """Let the standby take over from a primary where a COMMIT waits for it, and others write.

    No client reaches the new primary before the transaction ids are used that the old one had.
    """
    before = cluster.primary.scalar("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    assert isinstance(before, int)
    standby = cluster.standby
    standby.clients.refuse()
    cluster.primary.power_cut()
    cluster.promote(standby)
    standby.execute(
        f"do $$ begin while pg_current_xact_id()::text::bigint < {before + 10} loop commit;"
        " end loop; end $$"
    )
    standby.clients.resume()
    return standby


def cut_link(cluster: Cluster) -> None:
    """Let the standby get nothing more."""
    link = cluster.standby.link
    assert link is not None
    link.refuse()


async def leave_block(client: AsyncClient, stream: str, message: NewMessage) -> None:
    """Write in a block."""
    async with client.transaction() as tx:
        await tx.write_message(stream, message)


async def begin_and_commit(client: AsyncClient, stream: str, message: NewMessage) -> None:
    """Write without a block."""
    tx = await client.begin()
    await tx.write_message(stream, message)
    await tx.commit()


async def run_function(client: AsyncClient, stream: str, message: NewMessage) -> None:
    """Write in a function that is run in a transaction."""

    async def write(tx: Any) -> None:
        await tx.write_message(stream, message)

    await client.run_transaction(write)


async def write_in_savepoint(client: AsyncClient, stream: str, message: NewMessage) -> None:
    """Write in a part of a transaction that may be rolled back alone."""
    async with client.transaction() as tx, tx.savepoint():
        await tx.write_message(stream, message)


WAYS = [leave_block, begin_and_commit, run_function, write_in_savepoint]


@pytest.mark.parametrize("size", [1, 16])
@pytest.mark.parametrize("way", WAYS)
async def test_a_transaction_that_is_not_in_the_store_is_not_said_to_be(
    replicated: Cluster, category: str, way: Any, size: int
) -> None:
    stream, message = f"{category}-1", NewMessage("Tested")
    async with opened(replicated, size) as client:
        await client.write_message(f"{category}-0", NewMessage("Tested"))
        await run_blocking(cut_link, replicated)
        call = Background(way, client, stream, message)
        await eventually(lambda: replicated.waiting_commits(NAME) == 1)
        new = await run_blocking(fail_over_in_doubt, replicated)
        outcome = await call.outcome()
        assert ids_of(new, stream) == []
        assert isinstance(outcome.error, OutcomeUnknownError), outcome
        assert outcome.error.written == ((stream, str(message.id)),)
        assert await client.write_message(stream, message) == 0
        assert ids_of(new, stream) == [str(message.id)]
        await eventually(lambda: is_whole(client))


@pytest.mark.parametrize("way", WAYS)
async def test_a_transaction_that_is_in_the_store_is_never_said_not_to_be(
    lagging: Cluster, category: str, way: Any
) -> None:
    stream, message = f"{category}-1", NewMessage("Tested")
    async with opened(lagging) as client:
        await client.write_message(f"{category}-0", NewMessage("Tested"))
        lagging.primary.clients.drop_at("before_answer", b"COMMIT\x00")
        call = Background(way, client, stream, message)
        await eventually(lambda: ids_of(lagging.standby, stream) == [str(message.id)])
        new = await run_blocking(fail_over_in_doubt, lagging)
        outcome = await call.outcome()
        assert ids_of(new, stream) == [str(message.id)]
        assert outcome.error is None
        await eventually(lambda: is_whole(client))


async def test_the_same_message_of_another_is_no_proof_of_a_commit(
    replicated: Cluster, category: str
) -> None:
    stream, message = f"{category}-1", NewMessage("Tested")
    effect = f"{category}Effect-1"
    async with opened(replicated) as client:

        async def write_two() -> None:
            async with client.transaction() as tx:
                await tx.write_message(stream, message)
                await tx.write_message(effect, NewMessage("Tested"))

        await client.write_message(f"{category}-0", NewMessage("Tested"))
        await run_blocking(cut_link, replicated)
        call = Background(write_two)
        await eventually(lambda: replicated.waiting_commits(NAME) == 1)
        standby = replicated.standby
        # Others, who have derived the same id, write it on the new primary first.
        new = await run_blocking(fail_over_and_write, replicated, stream, str(message.id))
        assert new is standby
        outcome = await call.outcome()
        assert ids_of(new, effect) == []
        assert isinstance(outcome.error, OutcomeUnknownError), outcome


def fail_over_and_write(cluster: Cluster, stream: str, id: str) -> Node:
    """Let the standby take over, and write a message there before any client reaches it."""
    standby = cluster.standby
    standby.clients.refuse()
    cluster.primary.power_cut()
    cluster.promote(standby)
    standby.execute(f"select message_store.write_message('{id}', '{stream}', 'Tested', '{{}}')")
    standby.clients.resume()
    return standby


@pytest.mark.parametrize("size", [2, 16])
async def test_effects_of_a_transactional_consumer_are_neither_missing_nor_doubled(
    replicated: Cluster, category: str, size: int
) -> None:
    effects = f"{category}Effect-1"
    async with opened(replicated, size) as client:
        await client.write_messages(f"{category}-1", numbered(0, 10))
        consumer = AsyncConsumer(
            client,
            category,
            identifier="effects",
            transactional=True,
            position_store=TablePositionStore(),
            poll_interval=0.01,
            lease_timeout=None,
        )

        @consumer.handler
        async def handle(message: Message[Any], context: AsyncContext) -> None:
            if message.data["n"] == 5:
                await run_blocking(cut_link_once, replicated)
            await context.client.write_message(effects, NewMessage("Done", message.data))

        run = Background(consumer.run, until="caught_up")
        await eventually(lambda: replicated.waiting_commits(NAME) == 1, limit=10.0)
        new = await run_blocking(fail_over_in_doubt, replicated)
        outcome = await run.outcome(60.0)
        if outcome.error is not None:
            # It may stop, as what it did is unknown to it; what it did not do is done then.
            assert isinstance(outcome.error, OutcomeUnknownError), outcome
            await consumer.run(until="caught_up")
        done = [message.data["n"] for message in await client.get_stream_messages(effects)]
        assert done == list(range(10))
        assert len(ids_of(new, effects)) == 10


def cut_link_once(cluster: Cluster) -> None:
    """Let the standby get nothing more, while there is one."""
    if cluster.standbys:
        cut_link(cluster)

"""Commits that wait for a synchronous standby: never said to be done, never too many."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from messagedb import NO_STREAM, AsyncClient, NewMessage, OutcomeUnknownError, StoreUnavailableError
from messagedb._concurrency.backend_async import run_blocking
from messagedb.testing import FaultProxy
from tests._async.client_calls import new_messages
from tests.support.background_async import Background, eventually
from tests.support.outcome import is_whole
from tests.support.replication import Cluster, Node
from tests.support.store import stored

NAME = "the client"
COMMAND_TIMEOUT = 1.0
LIMIT = COMMAND_TIMEOUT + 3.0


@asynccontextmanager
async def opened(
    cluster: Cluster, size: int = 1, command_timeout: float = COMMAND_TIMEOUT, **options: Any
) -> AsyncGenerator[AsyncClient]:
    """Return a client that is known by its name."""
    url = cluster.url(application_name=NAME)
    async with AsyncClient(
        url, max_size=size, timeout=1.0, command_timeout=command_timeout, **options
    ) as client:
        yield client


def link_of(cluster: Cluster) -> FaultProxy:
    """Return the proxy between the primary and its standby."""
    link = cluster.standby.link
    assert link is not None
    return link


def ids_of(node: Node, stream: str) -> list[str]:
    """Return the ids of the messages that a node has in a stream."""
    return [id for id, _ in stored(node.url("store"), stream)]


def in_doubt(error: OutcomeUnknownError, messages: list[NewMessage]) -> list[NewMessage]:
    """Return those of the messages that an error names."""
    named = {id for _, id in error.written} | {str(message.id) for message in error.messages}
    return [message for message in messages if str(message.id) in named]


async def leave_block(client: AsyncClient, stream: str, messages: list[NewMessage]) -> None:
    """Write in a transaction that has no more time than this."""
    async with client.transaction(timeout=COMMAND_TIMEOUT) as tx:
        await tx.write_messages(stream, messages)


async def run_function(client: AsyncClient, stream: str, messages: list[NewMessage]) -> None:
    """Write in a function that is run in a transaction."""

    async def write(tx: Any) -> None:
        for message in messages:
            await tx.write_message(stream, message)

    await client.run_transaction(write, timeout=COMMAND_TIMEOUT)


async def write_batch(client: AsyncClient, stream: str, messages: list[NewMessage]) -> None:
    """Write the messages as they are."""
    await client.write_messages(stream, messages)


async def write_expecting(client: AsyncClient, stream: str, messages: list[NewMessage]) -> None:
    """Write them to a stream that has to be new."""
    await client.write_messages(stream, messages, expected_version=NO_STREAM)


async def write_one(client: AsyncClient, stream: str, messages: list[NewMessage]) -> None:
    """Write the first of them only."""
    await client.write_message(stream, messages[0])


WAYS = [leave_block, run_function, write_batch, write_expecting, write_one]


@pytest.mark.parametrize("way", WAYS)
async def test_a_commit_that_is_not_replicated_in_time_is_of_unknown_outcome(
    replicated: Cluster, category: str, way: Any
) -> None:
    stream, messages = f"{category}-1", new_messages(2)
    async with opened(replicated) as client:
        await client.write_message(f"{category}-0", NewMessage("Tested"))
        link_of(replicated).refuse()
        outcome = await Background(way, client, stream, messages).outcome()
        assert isinstance(outcome.error, OutcomeUnknownError), outcome
        assert outcome.seconds < LIMIT
        # It was not cancelled: it waits, holds its locks, and is not to be seen.
        assert replicated.waiting_commits(NAME) == 1
        assert ids_of(replicated.primary, stream) == []
        link_of(replicated).resume()
        await eventually(lambda: replicated.waiting_commits() == 0, limit=10.0)
        expected = [str(message.id) for message in in_doubt(outcome.error, messages)]
        await eventually(lambda: ids_of(replicated.standby, stream) == expected)
        await way(client, stream, messages)
        assert ids_of(replicated.primary, stream) == expected
        await eventually(lambda: is_whole(client))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("function", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_commit_that_an_administrator_ends_is_of_unknown_outcome(
    replicated: Cluster, category: str, way: Any, function: str
) -> None:
    stream, messages = f"{category}-1", new_messages(2)
    async with opened(replicated, command_timeout=3.0) as client:
        await client.write_message(f"{category}-0", NewMessage("Tested"))
        link_of(replicated).refuse()
        call = Background(way, client, stream, messages)
        await eventually(lambda: replicated.waiting_commits(NAME) == 1)
        replicated.primary.execute(
            f"select {function}(pid) from pg_stat_activity where wait_event = 'SyncRep'"
        )
        outcome = await call.outcome()
        # It is stored on the primary alone, and lost with it.
        assert isinstance(outcome.error, OutcomeUnknownError), outcome
        new = await run_blocking(replicated.fail_over)
        assert ids_of(new, stream) == []
        await way(client, stream, messages)
        expected = [str(message.id) for message in in_doubt(outcome.error, messages)]
        assert ids_of(new, stream) == expected


@pytest.mark.parametrize("way", WAYS)
async def test_a_repeated_write_waits_for_the_standby_as_the_first_one_did(
    replicated: Cluster, category: str, way: Any
) -> None:
    stream, messages = f"{category}-1", new_messages(2)
    if way is write_one:
        del messages[1:]
    async with opened(replicated) as client:
        await client.write_message(f"{category}-0", NewMessage("Tested"))
        link_of(replicated).refuse()
        write_unreplicated(replicated, stream, messages)
        assert ids_of(replicated.primary, stream) == [str(message.id) for message in messages]
        outcome = await Background(way, client, stream, messages).outcome()
        assert isinstance(outcome.error, OutcomeUnknownError), outcome
        assert replicated.waiting_commits(NAME) == 1
        link_of(replicated).resume()
        await eventually(lambda: replicated.waiting_commits() == 0, limit=10.0)
        assert ids_of(replicated.standby, stream) == [str(message.id) for message in messages]
        await way(client, stream, messages)


def write_unreplicated(cluster: Cluster, stream: str, messages: list[NewMessage]) -> None:
    """Store messages as a commit has that was cancelled while it waited."""
    calls = "".join(
        f"perform message_store.write_message('{message.id}', '{stream}', '{message.type}',"
        " '{}'); "
        for message in messages
    )
    cluster.primary.execute(
        f"begin; set local synchronous_commit = local; do $$ begin {calls} end $$; commit"
    )


class Writer:
    """Writes message after message, each until it is known to be stored."""

    def __init__(self, client: AsyncClient, stream: str, in_transaction: bool) -> None:
        self.stop = False
        self.acknowledged: list[str] = []
        self.unavailable: list[str] = []
        self._client = client
        self._stream = stream
        self._in_transaction = in_transaction

    async def run(self) -> None:
        """Write until it is to stop."""
        while not self.stop:
            message = NewMessage("Tested")
            while not await self._write(message):
                pass
            self.acknowledged.append(str(message.id))

    async def _write(self, message: NewMessage) -> bool:
        try:
            if self._in_transaction:
                async with self._client.transaction() as tx:
                    await tx.write_message(self._stream, message)
            else:
                await self._client.write_message(self._stream, message)
        except OutcomeUnknownError:
            return False
        except StoreUnavailableError as error:
            self.unavailable.append(str(error))
            return False
        return True


async def test_no_more_commits_wait_for_a_standby_than_the_pool_has_places(
    replicated: Cluster, category: str
) -> None:
    async with opened(replicated, size=4) as client:
        writers = [Writer(client, f"{category}{n}x-1", n % 2 == 1) for n in range(16)]
        calls = [Background(writer.run) for writer in writers]
        await eventually(lambda: all(writer.acknowledged for writer in writers), limit=20.0)
        link_of(replicated).refuse()
        await eventually(lambda: replicated.waiting_commits(NAME) == 4, limit=10.0)
        begun = time.monotonic()
        most = 0

        def has_waited() -> bool:
            nonlocal most
            most = max(most, replicated.waiting_commits())
            return time.monotonic() > begun + 8 * COMMAND_TIMEOUT

        await eventually(has_waited, limit=30.0)
        assert most == 4
        assert client.pool_stats().commits_waiting == 4
        before = [len(writer.acknowledged) for writer in writers]
        link_of(replicated).resume()
        await eventually(
            lambda: all(
                len(writer.acknowledged) > was + 1
                for writer, was in zip(writers, before, strict=True)
            ),
            limit=30.0,
        )
        for writer in writers:
            writer.stop = True
        for call in calls:
            await call.result()
        await eventually(lambda: is_whole(client))
        assert replicated.waiting_commits() == 0
        assert client.pool_stats().commits_waiting == 0
        new = await run_blocking(replicated.fail_over)
        for n, writer in enumerate(writers):
            assert ids_of(new, f"{category}{n}x-1") == writer.acknowledged
        told = {text for writer in writers for text in writer.unavailable}
        assert any("commits are waiting for a synchronous standby" in text for text in told), told


async def test_a_failover_while_the_commit_waits_is_not_reported_as_success(
    replicated: Cluster, category: str
) -> None:
    stream, message = f"{category}-1", NewMessage("Tested")
    async with opened(replicated) as client:
        await client.write_message(f"{category}-0", NewMessage("Tested"))
        link_of(replicated).refuse()
        outcome = await Background(leave_block, client, stream, [message]).outcome()
        new = await run_blocking(replicated.fail_over)
        assert isinstance(outcome.error, OutcomeUnknownError), outcome
        assert ids_of(new, stream) == []
        await eventually(lambda: is_whole(client))
        await leave_block(client, stream, [message])
        assert ids_of(new, stream) == [str(message.id)]

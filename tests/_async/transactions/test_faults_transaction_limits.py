"""A transaction's time and descriptors have a limit, also if everything fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncTransaction,
    NewMessage,
    StoreUnavailableError,
    TransactionTimeoutError,
    ValidationError,
    schema,
)
from messagedb._concurrency.backend_async import run_blocking
from messagedb.errors import EmbeddedServerError
from messagedb.testing import FaultProxy
from tests._async.client_calls import new_messages
from tests.support.background_async import Background, eventually
from tests.support.descriptors import no_descriptor_left
from tests.support.outcome import Outcome, is_whole
from tests.support.server import OwnServer
from tests.support.store import stored

COMMAND_TIMEOUT = 0.3
LIMIT = COMMAND_TIMEOUT + 1.5
FOLDER = Path("/proc/self/fd")


class Undone(Exception):
    """Raised by a block to be rolled back."""


async def begin_in_silence(store_url: str, kind: str) -> tuple[str, Outcome[Any]]:
    """Begin or roll back before a peer that says nothing, and see that the pool recovers."""
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(
            proxy.url, max_size=1, command_timeout=COMMAND_TIMEOUT, pooler=kind.endswith("pooler")
        ) as client:
            if kind.startswith("begin"):
                await eventually(lambda: is_whole(client))
                proxy.stall()
                outcome: Outcome[Any] = await Background(client.begin).outcome()
            else:
                tx = await client.begin()
                await tx.connection.execute("SELECT 1")
                proxy.stall()
                outcome = await Background(tx.rollback).outcome()
            proxy.resume()
            async with client.transaction() as tx:
                await tx.message_store_version()
            await eventually(lambda: is_whole(client))
    return kind, outcome


async def execute_long(store_url: str, category: str, after: str) -> None:
    """Let a statement of the user's take the transaction's time, wherever it is in it."""
    async with AsyncClient(store_url, command_timeout=COMMAND_TIMEOUT) as client:
        async with client.transaction() as tx:
            await tx.connection.execute("SET LOCAL statement_timeout = 0")
            async with tx.savepoint():
                if after == "rollback":
                    with suppress(Undone):
                        async with tx.savepoint():
                            raise Undone
                await tx.connection.execute(f"SELECT pg_sleep({COMMAND_TIMEOUT + 1.1})".encode())
                await tx.write_message(f"{category}-1", NewMessage("Tested"))
        await eventually(lambda: is_whole(client))


async def test_command_timeout_is_for_what_the_transaction_does_itself(
    store_url: str, category: str
) -> None:
    kinds = ["begin", "begin pooler", "rollback", "rollback pooler"]
    calls = [Background(begin_in_silence, store_url, kind) for kind in kinds]
    places = ["savepoint", "rollback"]
    long = [Background(execute_long, store_url, f"{category}{p}", p) for p in places]
    for call in calls:
        kind, outcome = await call.result()
        assert outcome.seconds < LIMIT, (kind, outcome)
        wanted = StoreUnavailableError if kind.startswith("begin") else type(None)
        assert isinstance(outcome.error, wanted), (kind, outcome)
    for place, executed in zip(places, long, strict=True):
        await executed.result()
        assert len(stored(store_url, f"{category}{place}-1")) == 1


@pytest.mark.parametrize("pooler", [False, True])
async def test_in_a_pipeline_of_the_users(store_url: str, category: str, pooler: bool) -> None:
    stream = f"{category}-1"
    async with AsyncClient(store_url, max_size=1, pooler=pooler) as client:
        # A part of it is taken back, and the rest goes on.
        async with client.transaction() as tx:
            async with tx.connection.pipeline():
                await tx.write_message(stream, NewMessage("Tested"))
                with suppress(Undone):
                    async with tx.savepoint():
                        await tx.write_messages(stream, new_messages(2))
                        raise Undone
                await tx.write_message(stream, NewMessage("Tested"))
            assert await tx.stream_version(stream) == 1
        assert await client.stream_version(stream) == 1
        # Its COMMIT would not be waited for: its outcome would not be reported.
        tx = await client.begin()
        await tx.write_message(stream, NewMessage("Tested"))
        with pytest.raises(ValidationError, match=r"inside a psycopg pipeline\. .* is rolled back"):
            async with tx.connection.pipeline():
                await tx.commit()
        assert not tx.is_active
        assert await client.stream_version(stream) == 1
        await eventually(lambda: is_whole(client))


async def test_a_connection_that_was_kept_and_closed(store_url: str, category: str) -> None:
    async with AsyncClient(store_url, max_size=1) as client:
        for names in ([], [category]):
            async with client.transaction() as tx:
                kept = tx.connection
            await kept.close()
            async with client.transaction(categories=names) as tx:
                await tx.write_message(f"{category}-1", NewMessage("Tested"))
            # Closed in the middle it takes the transaction along.
            with pytest.raises(StoreUnavailableError, match="is rolled back"):
                async with client.transaction(categories=names) as tx:
                    await tx.write_message(f"{category}-1", NewMessage("Tested"))
                    await tx.connection.close()
        await eventually(lambda: is_whole(client))
    assert len(stored(store_url, f"{category}-1")) == 2


async def test_a_transaction_that_cannot_be_watched_is_not_begun(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, max_size=1) as client:
        await client.write_message(f"{category}-1", NewMessage("Tested"))
        with no_descriptor_left():
            # Twice: its connection is given back.
            for _ in range(2):
                with pytest.raises(StoreUnavailableError, match=r"open files.* Nothing was sent"):
                    await client.begin()
        await eventually(lambda: is_whole(client))
        async with client.transaction() as tx:
            assert await tx.write_message(f"{category}-1", NewMessage("Tested")) == 1


def descriptors() -> int:
    """Return the number of files that are open."""
    return len(list(FOLDER.iterdir()))


async def one_of_many(client: AsyncClient, stream: str, number: int) -> int:
    """Begin and end a transaction in one of the ways, and tell how much of it is stored."""
    if number % 50 == 0:
        with suppress(TransactionTimeoutError):
            async with client.transaction(timeout=0.01) as tx:
                await tx.write_message(stream, NewMessage("Tested"))
                await tx.connection.execute("SELECT pg_sleep(10)")
        return 0
    if number % 3 == 0:
        with suppress(Undone):
            async with client.transaction() as tx:
                await tx.write_message(stream, NewMessage("Tested"))
                raise Undone
        return 0
    if number % 3 == 1:
        tx = await client.begin(read_only=True)
        await tx.rollback()
        return 0
    async with client.transaction() as tx:
        await tx.write_message(stream, NewMessage("Tested"))
    return 1


@pytest.mark.skipif(not FOLDER.is_dir(), reason="there is no /proc")
async def test_a_thousand_transactions_leave_nothing_and_end_nothing_of_others(
    store_url: str, category: str
) -> None:
    stream, count = f"{category}-1", 0
    async with AsyncClient(store_url, max_size=1) as client:
        others = await AsyncConnection.connect(store_url)
        async with others, client.transaction() as tx:
            await others.execute("SELECT 1")
            await tx.stream_version(stream)
            async with AsyncClient(store_url, max_size=1) as busy:
                await busy.open()
                await eventually(lambda: is_whole(busy))
                before = descriptors()
                for number in range(1, 1001):
                    count += await one_of_many(busy, stream, number)
                await eventually(partial(is_whole, busy))
                await eventually(lambda: descriptors() == before)
            # Their transactions are those that they were.
            assert await tx.write_message(stream, NewMessage("Tested")) == count
            assert others.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
            await others.execute("SELECT 1")
    assert len(stored(store_url, stream)) == count + 1


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    """Return a durable server with our schema."""
    try:
        server = OwnServer()
    except EmbeddedServerError as error:
        pytest.skip(f"no programs to run a server of the test's own: {error}")
    schema.install(server.url())
    yield server
    server.close()


def is_ending(tx: AsyncTransaction) -> bool:
    """Return True if its COMMIT was sent, and its outcome is unknown."""
    return "unknown" in repr(tx)


async def test_the_server_is_stopped_and_started(server: OwnServer, category: str) -> None:
    url, stream = server.url(user="message_store"), f"{category}-1"
    with FaultProxy(url) as proxy:
        async with AsyncClient(proxy.url, min_size=2, max_size=2, command_timeout=20.0) as client:
            await client.write_message(stream, NewMessage("Tested"))
            # While it is idle: begin() finds only connections to the earlier server.
            await eventually(lambda: is_whole(client))
            await run_blocking(server.stop)
            await run_blocking(server.start)
            async with client.transaction() as tx:
                await tx.write_message(stream, NewMessage("Tested"))
                await run_blocking(server.stop, at_once=True)
                await run_blocking(server.start)
                with pytest.raises(StoreUnavailableError, match="is rolled back"):
                    await tx.write_message(stream, NewMessage("Tested"))
                await tx.rollback()
            # While it queries the outcome of a COMMIT, which it remembers.
            tx = await client.begin(categories=[category])
            message = NewMessage("Tested")
            assert await tx.write_message(stream, message) == 1
            proxy.drop("answers")
            commit = Background(tx.commit)
            await eventually(lambda: len(stored(url, stream)) == 2)
            assert is_ending(tx)
            # In order: after a crash the id may be another transaction's.
            await run_blocking(server.stop)
            proxy.resume()
            assert not commit.ended
            await run_blocking(server.start)
            await commit.result()
            await eventually(lambda: is_whole(client))
            assert await client.write_message(stream, message, expected_version=NO_STREAM) == 1
    assert [position for _, position in stored(url, stream)] == [0, 1]

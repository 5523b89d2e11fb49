"""Limits of the server's beside a transaction's own time, and what is said when that is up."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest

from messagedb import AsyncClient, NewMessage, TransactionTimeoutError, schema
from messagedb.errors import EmbeddedServerError
from tests.conftest import NewDatabase
from tests.support.background_async import Background, eventually
from tests.support.outcome import is_whole
from tests.support.server import OwnServer
from tests.support.store import locks_of, stored

LimitedDatabase = Callable[[str], str]


@pytest.fixture(scope="module")
def limited_database(new_database: NewDatabase, server_url: str) -> Iterator[LimitedDatabase]:
    """Return a function that limits the time of transactions, as an administrator does.

    It takes the limit, and returns the URL of a database: of the server of all tests, or of another
    one, if that is older than the limit: transaction_timeout came with PostgreSQL 17.
    """

    def limit_database(url: str, limit: str) -> str:
        with psycopg.connect(url, autocommit=True) as conn:
            name = conn.info.dbname
            conn.execute(f"alter database \"{name}\" set transaction_timeout = '{limit}'".encode())
        return url

    with psycopg.connect(server_url) as conn:
        is_new = conn.info.server_version >= 170000
    if is_new:
        yield lambda limit: limit_database(new_database(), limit)
        return
    try:
        server = OwnServer()
    except EmbeddedServerError as error:
        pytest.skip(f"no programs to run a server of the test's own: {error}")
    with closing(server):
        schema.install(server.url())
        yield lambda limit: limit_database(server.url(), limit)


@pytest.mark.parametrize("pooler", [False, True])
async def test_a_transaction_has_its_own_time_where_an_administrator_gives_less(
    limited_database: LimitedDatabase, category: str, pooler: bool
) -> None:
    url = limited_database("300ms")
    async with AsyncClient(url, pooler=pooler) as client:
        async with client.transaction(timeout=20.0) as tx:
            await tx.write_message(f"{category}-1", NewMessage("Tested"))
            await tx.connection.execute("SELECT pg_sleep(0.6)")
        assert await client.stream_version(f"{category}-1") == 0


async def test_a_limit_that_comes_before_the_transactions_time_is_named(
    limited_database: LimitedDatabase, category: str
) -> None:
    url = limited_database("60s")
    async with AsyncClient(url) as client:
        with (
            psycopg.connect(url) as other,
            pytest.raises(TransactionTimeoutError, match="before its timeout") as caught,
        ):
            other.execute("lock table message_store.messages in access exclusive mode")
            async with client.transaction(timeout=20.0) as tx:
                await tx.connection.execute("SET LOCAL transaction_timeout = 0")
                await tx.connection.execute("SET LOCAL transaction_timeout = '100ms'")
                await tx.get_stream_messages(f"{category}-1")
        assert "its locks are released" in str(caught.value)
        assert "20 s" not in str(caught.value)
        await eventually(lambda: is_whole(client))


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system stops no processes")
async def test_of_a_server_that_is_stopped_it_is_not_said_that_locks_are_free(
    store_url: str, category: str
) -> None:
    stream = f"{category}-1"
    async with AsyncClient(store_url, command_timeout=1.0) as client:
        tx = await client.begin(timeout=1.0)
        await tx.write_message(stream, NewMessage("Tested"))
        pid = tx.connection.info.backend_pid
        try:
            os.kill(pid, signal.SIGSTOP)
        except OSError as error:
            pytest.skip(f"the server's processes are not to be stopped from here: {error}")
        try:
            outcome = await Background(tx.write_message, stream, NewMessage("Tested")).outcome()
            assert isinstance(outcome.error, TransactionTimeoutError), outcome
            assert "locks may still be held" in str(outcome.error)
            assert "Nothing of it is stored" in str(outcome.error)
            assert "locks are free" not in str(outcome.error)
            assert locks_of(store_url, pid) > 0
        finally:
            os.kill(pid, signal.SIGCONT)
        await eventually(lambda: locks_of(store_url, pid) == 0)
        assert stored(store_url, stream) == []
        await tx.rollback()

"""A server that has crashed gives transactions' ids again: its word on one is then no proof."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from messagedb import (
    NO_STREAM,
    AsyncClient,
    AsyncTransaction,
    NewMessage,
    OutcomeUnknownError,
    StoreUnavailableError,
    schema,
)
from messagedb._concurrency.backend_async import run_blocking
from messagedb.errors import EmbeddedServerError
from messagedb.testing import FaultProxy
from tests.support.background_async import Background, eventually
from tests.support.server import OwnServer


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


def status_of(url: str, id: int) -> str:
    """Return the server's word on a transaction."""
    with psycopg.connect(url) as conn:
        row = conn.execute("select txid_status(%s)", [id]).fetchone()
        assert row is not None
        return str(row[0])


def is_ending(tx: AsyncTransaction) -> bool:
    """Return True if the COMMIT was sent, and got no response."""
    return "unknown" in repr(tx)


@pytest.mark.parametrize("crashes", [True, False])
async def test_a_commit_that_never_came_is_not_said_to_be_done(
    server: OwnServer, category: str, crashes: bool
) -> None:
    url = server.url(user="message_store")
    stream = f"{category}-1"
    with psycopg.connect(server.url(), autocommit=True) as conn:
        # If the beginning of the transaction is on disk, its id is not given again.
        conn.execute("alter system set wal_writer_delay = '10s'")
        conn.execute("select pg_reload_conf()")
    with FaultProxy(url) as proxy:
        async with AsyncClient(proxy.url, max_size=2, command_timeout=3.0) as client:
            assert await client.stream_version(stream) == NO_STREAM
            tx = await client.begin()
            await tx.write_message(stream, NewMessage("Tested"))
            proxy.stall()
            commit = Background(tx.commit)
            await eventually(lambda: is_ending(tx))
            await run_blocking(server.stop, at_once=crashes)
            await run_blocking(server.start)
            async with AsyncClient(url) as other:
                for _ in range(5):
                    await other.write_message(f"{category}Other-1", NewMessage("Tested"))
            proxy.resume()
            error = (await commit.outcome()).error
            assert await client.stream_version(stream) == NO_STREAM
    if not crashes:
        assert isinstance(error, StoreUnavailableError), error
        return
    assert isinstance(error, OutcomeUnknownError), error
    assert error.transaction_id is not None
    # That of another one.
    assert status_of(url, error.transaction_id) == "committed"
    assert "may describe another transaction" in str(error)

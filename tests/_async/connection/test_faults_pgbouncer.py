"""Behind PgBouncer, in transaction mode and in session mode."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from messagedb import (
    NO_STREAM,
    AsyncClient,
    DuplicateMessageError,
    MessageDBError,
    NewMessage,
    WrongExpectedVersionError,
)
from messagedb.testing import FaultProxy
from tests._async.client_calls import CASES, READS, WRITES, new_messages, seed
from tests.support.background_async import Background, eventually
from tests.support.outcome import is_whole
from tests.support.pgbouncer import PgBouncer
from tests.support.store import count_category, stored

# The pool of PgBouncer, and the client's option for it.
SETTINGS = [
    ("single", None),
    ("single", True),
    ("pair", None),
    ("session", None),
    ("session", True),
    ("session", False),
]


def state(url: str) -> Any:
    """Return the settings that a client of the same server connection finds."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as conn:
        return conn.execute(
            "select pg_backend_pid(), current_setting('search_path'),"
            " current_setting('statement_timeout'),"
            " current_setting('default_transaction_isolation'),"
            " current_setting('client_connection_check_interval'),"
            " current_setting('message_store.sql_condition', true),"
            " (select count(*) from pg_prepared_statements)"
        ).fetchone()


@pytest.mark.parametrize(("pool", "pooler"), SETTINGS)
async def test_every_operation(
    client: AsyncClient,
    store_url: str,
    pgbouncer: PgBouncer,
    category: str,
    pool: str,
    pooler: bool | None,
) -> None:
    # With one connection to the server, a client may hold it only while it uses it.
    async with AsyncClient(pgbouncer.url(pool), max_size=4, pooler=pooler) as pooled:
        await seed(pooled, category)
        for name in WRITES:
            before = count_category(store_url, category)
            await CASES[name].call(pooled, category)
            assert count_category(store_url, category) == before + CASES[name].writes
        for name in READS:
            for _ in range(3):
                result = await CASES[name].call(pooled, category)
                assert result == await CASES[name].call(client, category), name
        executor = vars(pooled)["_lifecycle"].provider.executor_class.__name__
        wanted = "AutocommitExecutor" if pooler is False else "TransactionPerCallExecutor"
        assert executor.endswith(wanted)
        await eventually(lambda: is_whole(pooled))


async def test_nothing_is_left_on_a_shared_server_connection(
    pgbouncer: PgBouncer, category: str
) -> None:
    url = pgbouncer.url("single")
    before = state(url)
    async with AsyncClient(url, max_size=2, command_timeout=0.5) as client:
        await seed(client, category)
        for case in CASES.values():
            await case.call(client, category)
            assert state(url) == before
        message = NewMessage("Tested")
        await client.write_message(f"{category}-1", message)
        with pytest.raises(WrongExpectedVersionError):
            await client.write_message(
                f"{category}-1", NewMessage("Tested"), expected_version=NO_STREAM
            )
        assert state(url) == before
        with pytest.raises(WrongExpectedVersionError):
            await client.write_messages(f"{category}-1", new_messages(2), expected_version=7)
        assert state(url) == before
        with pytest.raises(DuplicateMessageError):
            await client.write_message(f"{category}-2", message)
        assert state(url) == before
        for condition in ("this is no SQL", "1 / 0 = 1", "pg_sleep(5) IS NOT NULL"):
            with pytest.raises(MessageDBError):
                await client.get_stream_messages(f"{category}-1", condition=condition)
            assert state(url) == before
        async with await AsyncConnection.connect(url, prepare_threshold=None) as conn:
            bound = client.bind(conn)
            for case in CASES.values():
                await case.call(bound, category)
            with pytest.raises(WrongExpectedVersionError):
                await bound.write_message(
                    f"{category}-1", NewMessage("Tested"), expected_version=NO_STREAM
                )
        assert state(url) == before
        await eventually(lambda: is_whole(client))


async def test_connections_that_take_turns_over_one_server_connection(
    pgbouncer: PgBouncer, category: str
) -> None:
    # One that said a word after its transaction would keep the server connection from the others.
    async with AsyncClient(pgbouncer.url("single"), max_size=4, command_timeout=3.0) as client:
        await seed(client, category)
        for _ in range(300):
            assert await client.stream_version(f"{category}-seed") == 1
        await eventually(lambda: is_whole(client))


async def write_share(client: AsyncClient, category: str, caller: int) -> list[tuple[str, int]]:
    """Write twenty messages to streams that others write to as well."""
    written: list[tuple[str, int]] = []
    for number in range(20):
        stream = f"{category}-{(caller + number) % 4}"
        message = NewMessage("Tested")
        if number % 4:
            written.append((stream, await client.write_message(stream, message)))
        else:
            written += [(stream, p) for p in await client.write_messages(stream, [message])]
        await client.get_stream_messages(stream, condition="messages.position = 0")
    return written


async def test_sixteen_callers_over_two_server_connections(
    pgbouncer: PgBouncer, store_url: str, category: str
) -> None:
    async with AsyncClient(pgbouncer.url("pair"), max_size=16) as client:
        calls = [Background(write_share, client, category, caller) for caller in range(16)]
        written: list[tuple[str, int]] = []
        for call in calls:
            written += await call.result()
        await eventually(lambda: is_whole(client))
    assert len(set(written)) == len(written) == 16 * 20
    for number in range(4):
        positions = [position for _, position in stored(store_url, f"{category}-{number}")]
        assert positions == list(range(80))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("pool", ["pair", "session"])
async def test_a_lost_answer(
    pgbouncer: PgBouncer, store_url: str, category: str, pool: str, count: int
) -> None:
    messages = new_messages(count)
    stream = f"{category}-1"
    with FaultProxy(pgbouncer.url(pool)) as proxy:
        async with AsyncClient(proxy.url, max_size=2) as client:
            proxy.cut_at("before_answer", "COMMIT")
            positions = await client.write_messages(stream, messages, expected_version=NO_STREAM)
            assert (positions, proxy.injected) == (list(range(count)), 1)
            again = await client.write_messages(stream, messages, expected_version=NO_STREAM)
            assert again == positions
            await eventually(lambda: is_whole(client))
    assert [id for id, _ in stored(store_url, stream)] == [str(message.id) for message in messages]

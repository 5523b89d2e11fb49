"""The life of a client: opening, closing, borrowing, and what it shows of itself."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from messagedb import AsyncClient, NewMessage, StoreUnavailableError
from messagedb.errors import PoolTimeoutError


async def test_the_first_operation_opens(store_url: str, category: str) -> None:
    client = AsyncClient(store_url)
    assert "not opened" in repr(client)
    assert await client.write_message(f"{category}-1", NewMessage("A")) == 0
    assert "(open)" in repr(client)
    await client.close()
    assert "(closed)" in repr(client)


async def test_a_closed_client_stays_closed(store_url: str) -> None:
    client = AsyncClient(store_url)
    await client.close()
    await client.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        await client.stream_version("a-1")
    with pytest.raises(StoreUnavailableError, match="closed"):
        await client.open()


async def test_opening_twice_is_opening_once(store_url: str) -> None:
    client = AsyncClient(store_url)
    await client.open()
    source = client._lifecycle.provider
    async with client:
        await client.open()
        assert client._lifecycle.provider is source
    with pytest.raises(StoreUnavailableError):
        await client.stream_version("a-1")


@pytest.mark.parametrize(
    "conninfo",
    [
        "postgresql://someone:s3cret@127.0.0.1:1/db",
        "host=127.0.0.1 port=1 dbname=db user=someone password=s3cret",
    ],
)
async def test_no_password_is_shown(conninfo: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    client = AsyncClient(conninfo)
    assert "s3cret" not in repr(client)
    assert "127.0.0.1 port 1 database 'db' as 'someone'" in repr(client)
    with pytest.raises(
        StoreUnavailableError, match=r"127\.0\.0\.1 port 1.*Nothing was sent"
    ) as caught:
        await client.open()
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in str(caught.value.__cause__)
    assert "s3cret" not in caplog.text


async def test_a_full_pool_says_so(store_url: str) -> None:
    async with AsyncClient(store_url, max_size=1, timeout=0.1) as single:
        source = single._lifecycle.provider
        assert source is not None
        conn = await source.pool.getconn()
        with pytest.raises(PoolTimeoutError, match=r"All 1 connections are in use.*max_size"):
            await single.stream_version("a-1")
        await source.pool.putconn(conn)
        assert await single.stream_version("a-1") == -1


async def test_a_borrowed_pool_is_used_given_back_as_it_was_and_never_closed(
    store_url: str, category: str
) -> None:
    async def configure(conn: AsyncConnection[Any]) -> None:
        conn.row_factory = dict_row
        await conn.execute("SELECT set_config('statement_timeout', '12345', false)")
        await conn.commit()

    settings = (
        "SELECT current_setting('search_path') AS path, current_setting('statement_timeout') AS "
        "timeout,"
        " current_setting('message_store.sql_condition', true) AS condition"
    )
    async with AsyncConnectionPool(
        store_url, min_size=1, max_size=1, configure=configure, open=False
    ) as pool:
        async with pool.connection() as conn:
            before = await (await conn.execute(settings)).fetchone()
        async with AsyncClient(pool=pool) as client:
            assert "pool" in repr(client)
            message = NewMessage("A", {"n": 1})
            assert await client.write_message(f"{category}-1", message) == 0
            assert await client.write_message(f"{category}-1", message, expected_version=-1) == 0
            assert await client.write_messages(
                f"{category}-1", [NewMessage("B"), NewMessage("C")]
            ) == [1, 2]
            assert len(await client.get_category_messages(category)) == 3
            found = await client.get_stream_messages(f"{category}-1", condition="position = 1")
            assert [m.type for m in found] == ["B"]
        async with pool.connection() as conn:
            assert conn.autocommit is False
            assert conn.row_factory is dict_row
            assert await (await conn.execute(settings)).fetchone() == before
        assert before is not None
        assert before["timeout"] == "12345ms"
        assert before["condition"] is None
        assert not pool.closed


async def test_a_borrowed_pool_that_is_not_open(store_url: str) -> None:
    pool = AsyncConnectionPool(store_url, open=False)
    with pytest.raises(StoreUnavailableError, match="not open"):
        await AsyncClient(pool=pool).stream_version("a-1")


async def test_connections_are_set_up(store_url: str) -> None:
    async with AsyncClient(store_url, command_timeout=7.5) as client:
        source = client._lifecycle.provider
        assert source is not None
        conn = await source.pool.getconn()
        try:
            values = {
                name: (await (await conn.execute(f"SHOW {name}")).fetchone())[0]
                for name in (
                    "search_path",
                    "statement_timeout",
                    "default_transaction_isolation",
                    "message_store.sql_condition",
                    "client_connection_check_interval",
                )
            }
        finally:
            await source.pool.putconn(conn)
    assert values == {
        "search_path": '"message_store", public, pg_temp',
        "statement_timeout": "7500ms",
        "default_transaction_isolation": "read committed",
        "message_store.sql_condition": "off",
        "client_connection_check_interval": "7500ms",
    }


async def test_an_embedded_store_lasts_in_its_folder(open_folder: Path) -> None:
    address = f"embedded:{open_folder}/some data"
    async with AsyncClient(address) as client:
        assert await client.write_message("account-1", NewMessage("A", {"n": 1})) == 0
        assert repr(client).startswith("<")
    async with AsyncClient(address) as client:
        assert [m.data for m in await client.get_stream_messages("account-1")] == [{"n": 1}]
        assert await client.message_store_version() == "1.3.0"

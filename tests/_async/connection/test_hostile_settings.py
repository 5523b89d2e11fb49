"""Settings of a role or a database that change how statements are read, run and answered."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict

from messagedb import (
    AsyncBoundClient,
    AsyncClient,
    AsyncConsumer,
    IncompatibleServerError,
    Message,
    NewMessage,
    StoreUnavailableError,
    ValidationError,
)
from tests._async.client_calls import CASES, READS, WRITES, seed
from tests.conftest import NewDatabase
from tests.support.backend import make_url

SETTINGS = {
    "search_path": "pg_catalog",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "DateStyle": "'German, DMY'",
    "IntervalStyle": "iso_8601",
    "TimeZone": "'Asia/Kolkata'",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "extra_float_digits": "-15",
    "quote_all_identifiers": "on",
    "xmloption": "document",
    "row_security": "off",
    "lc_numeric": "'C'",
    "client_min_messages": "error",
    "jit_above_cost": "0",
    "plan_cache_mode": "force_generic_plan",
    "enable_indexscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashagg": "off",
    "enable_material": "off",
    "enable_nestloop": "off",
    "enable_sort": "off",
    "work_mem": "'64kB'",
    "max_parallel_workers_per_gather": "8",
    "min_parallel_table_scan_size": "0",
    "parallel_setup_cost": "0",
    "default_statistics_target": "1",
    "gin_pending_list_limit": "64",
    "synchronous_commit": "off",
    "default_table_access_method": "heap",
    "vacuum_freeze_min_age": "0",
}
"""Each setting, and a value that differs from the usual one."""

WAYS = ("own", "pooler", "bound", "in a transaction")
# In a transaction of the caller, the isolation level is the caller's.
CALLERS = ("default_transaction_isolation",)


@pytest.fixture(scope="module")
def owner_url(new_database: NewDatabase) -> str:
    """Return a superuser's URL of a database with our schema."""
    return new_database()


def create_role(owner_url: str, settings: dict[str, str]) -> str:
    """Return the URL of a new member of message_store with these settings."""
    role = f"hostile_{uuid.uuid4().hex}"
    with psycopg.connect(owner_url, autocommit=True) as conn:
        conn.execute(f"create role {role} login in role message_store".encode())
        for name, value in settings.items():
            conn.execute(f"alter role {role} set {name} = {value}".encode())
    return make_url(owner_url, user=role)


async def stores(url: str, way: str) -> AsyncIterator[AsyncClient | AsyncBoundClient]:
    """Return an iterator of the one store of a way."""
    async with AsyncClient(url, pooler=True if way == "pooler" else None) as client:
        if way in ("own", "pooler"):
            yield client
            return
        autocommit = way == "bound"
        async with await AsyncConnection.connect(url, autocommit=autocommit) as conn:
            yield client.bind(conn)


async def check_everything(url: str, owner_url: str, category: str, way: str) -> None:
    """Check that each operation has the result that it has without the settings."""
    async with AsyncClient(make_url(owner_url, user="message_store")) as other:
        await seed(other, category)
        async for store in stores(url, way):
            for name in READS:
                wanted = await CASES[name].call(other, category)
                assert await CASES[name].call(store, category) == wanted, name
            for name in WRITES:
                await CASES[name].call(store, category)
            if isinstance(store, AsyncBoundClient):
                await store.connection.commit()
        written = await other.get_category_messages(category, batch_size=-1)
        assert len(written) == 2 + sum(case.writes for case in WRITES.values())


@pytest.mark.parametrize(
    ("name", "way"),
    [
        (name, way)
        for name in SETTINGS
        for way in WAYS
        if not (name in CALLERS and way == "in a transaction")
    ],
)
async def test_a_setting_of_the_role_changes_no_result(
    owner_url: str, category: str, name: str, way: str
) -> None:
    url = create_role(owner_url, {name: SETTINGS[name]})
    await check_everything(url, owner_url, category, way)


@pytest.mark.parametrize("way", ["own", "pooler", "bound"])
async def test_a_role_with_a_time_limit_that_is_too_short_for_a_query_gets_the_clients_limit(
    owner_url: str, category: str, way: str
) -> None:
    # Even on busy cores the shortest statement, which sets the limit, takes less.
    url = create_role(owner_url, {"statement_timeout": "'150ms'"})
    versions: list[int] = []
    async for store in stores(url, way):
        await store.write_message(f"{category}-1", NewMessage("A"))
        found = await store.get_category_messages(category, condition="pg_sleep(0.3) IS NOT NULL")
        versions.append(len(found))
    assert versions == [1]


async def test_a_transaction_keeps_the_time_limit_of_its_role(
    owner_url: str, category: str
) -> None:
    url = create_role(owner_url, {"statement_timeout": "'200ms'"})
    async with AsyncClient(make_url(owner_url, user="message_store")) as client:
        await seed(client, category)
        async with await AsyncConnection.connect(url) as conn:
            bound = client.bind(conn)
            assert await bound.stream_version(f"{category}-seed") == 1
            with pytest.raises(StoreUnavailableError, match="statement_timeout"):
                await bound.get_category_messages(category, condition="pg_sleep(60) IS NOT NULL")


async def test_a_transaction_keeps_the_isolation_level_of_its_role(
    owner_url: str, category: str
) -> None:
    url = create_role(owner_url, {"default_transaction_isolation": "serializable"})
    async with AsyncClient(url) as client, await AsyncConnection.connect(url) as conn:
        await seed(client, category)
        bound = client.bind(conn)
        for name in WRITES:
            with pytest.raises(ValidationError, match="this transaction is SERIALIZABLE"):
                await CASES[name].call(bound, category)
        assert len(await bound.get_category_messages(category)) == 2


@pytest.mark.parametrize("way", WAYS)
async def test_all_settings_of_the_database_at_once_change_no_result(
    new_database: NewDatabase, category: str, way: str
) -> None:
    owner_url = new_database()
    database = conninfo_to_dict(owner_url)["dbname"]
    with psycopg.connect(owner_url, autocommit=True) as conn:
        for name, value in SETTINGS.items():
            if name not in CALLERS:
                conn.execute(f'alter database "{database}" set {name} = {value}'.encode())
    await check_everything(make_url(owner_url, user="message_store"), owner_url, category, way)


async def test_a_consumer_under_all_settings_of_the_role(owner_url: str, category: str) -> None:
    async def handle(message: Message) -> None:
        handled.append(message.position)

    handled: list[int] = []
    async with AsyncClient(create_role(owner_url, SETTINGS)) as client:
        await seed(client, category)
        for _ in range(2):
            consumer = AsyncConsumer(client, category)
            consumer.handler(handle)
            await consumer.run(until="caught_up")
    assert handled == [0, 1]


@pytest.mark.parametrize("way", WAYS)
async def test_a_role_that_is_read_only_reads_and_is_told_so_when_it_writes(
    owner_url: str, category: str, way: str
) -> None:
    url = create_role(owner_url, {"default_transaction_read_only": "on"})
    async with AsyncClient(make_url(owner_url, user="message_store")) as other:
        await seed(other, category)
        for name in READS:
            wanted = await CASES[name].call(other, category)
            async for store in stores(url, way):
                assert await CASES[name].call(store, category) == wanted, name
        for name in WRITES:
            async for store in stores(url, way):
                with pytest.raises(StoreUnavailableError, match="default_transaction_read_only"):
                    await CASES[name].call(store, category)
        assert len(await other.get_category_messages(category)) == 2


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "WIN1252"])
async def test_a_role_with_another_client_encoding(
    owner_url: str, category: str, encoding: str
) -> None:
    url = create_role(owner_url, {"client_encoding": encoding})
    for way in ("own", "pooler"):
        await check_everything(url, owner_url, f"{category}{way}", way)
    async for store in stores(make_url(url, client_encoding=""), "bound"):
        with pytest.raises(IncompatibleServerError, match=f"client_encoding is {encoding}"):
            await store.stream_version(f"{category}-1")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_in_another_encoding_is_refused(
    new_database: NewDatabase, encoding: str
) -> None:
    url = new_database(encoding=encoding, install=False)
    with pytest.raises(IncompatibleServerError, match=f"has the encoding {encoding}"):
        await AsyncClient(make_url(url, user="message_store")).open()

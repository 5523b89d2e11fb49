"""Older versions of the genuine Message DB: supported, or refused before the server fails."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import AsyncConnection

from messagedb import AsyncBoundClient, AsyncClient, IncompatibleServerError, NewMessage
from tests.conftest import NewDatabase
from tests.support import genuine
from tests.support.backend import make_url
from tests.support.store import functions_only

OLDER = ("1.1.6", "1.2.6")
WAYS = ("own", "pooler", "bound", "in a transaction")


@pytest.fixture(scope="module", params=OLDER)
def old_url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    """Return a superuser's URL of an older Message DB."""
    url = new_database(install=False)
    genuine.install(url, request.param)
    return url


@pytest.fixture(scope="module", params=OLDER)
def old_functions_url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    """Return the URL of a role that may only call the functions of an older Message DB."""
    url = new_database(install=False)
    genuine.install(url, request.param)
    functions_only(url)
    return make_url(url, user="message_store")


async def stores(url: str, way: str) -> AsyncIterator[AsyncClient | AsyncBoundClient]:
    """Return an iterator of the one store of a way."""
    async with (
        AsyncClient(url, pooler=True if way == "pooler" else None) as client,
        await AsyncConnection.connect(url, autocommit=way != "in a transaction") as conn,
    ):
        yield client.bind(conn) if way in ("bound", "in a transaction") else client


@pytest.mark.parametrize("way", WAYS)
async def test_the_last_message_of_a_type_before_1_3(old_url: str, category: str, way: str) -> None:
    stream = f"{category}-1"
    async with AsyncClient(make_url(old_url, user="message_store")) as writer:
        written = [NewMessage(type_name) for type_name in ("A", "B", "A", "C")]
        await writer.write_messages(stream, written)
    async for store in stores(make_url(old_url, user="message_store"), way):
        for type_name, wanted in (("A", 2), ("B", 1), ("C", 3)):
            last = await store.get_last_stream_message(stream, type=type_name)
            assert last is not None
            assert (last.position, last.id) == (wanted, written[wanted].id)
        assert await store.get_last_stream_message(stream, type="D") is None
        assert await store.get_last_stream_message(f"{category}-2", type="A") is None


@pytest.mark.parametrize("way", WAYS)
async def test_the_last_message_of_a_type_that_neither_function_nor_table_can_find(
    old_functions_url: str, category: str, way: str
) -> None:
    async for store in stores(old_functions_url, way):
        await store.write_message(f"{category}-1", NewMessage("A"))
        with pytest.raises(IncompatibleServerError) as caught:
            await store.get_last_stream_message(f"{category}-1", type="A")
        for part in ("no parameter for a type", "1.3.0", "'message_store'", "Nothing was sent"):
            assert part in str(caught.value)
        # It was refused before the server was asked: a transaction block lives.
        last = await store.get_last_stream_message(f"{category}-1")
        assert last is not None
        assert last.type == "A"


@pytest.mark.parametrize("condition", [None, "messages.type <> 'B'"])
@pytest.mark.parametrize("way", WAYS)
async def test_all_messages_in_one_page_before_1_2_2(
    old_url: str, category: str, way: str, condition: str | None
) -> None:
    await check_all_messages(make_url(old_url, user="message_store"), category, way, condition)


@pytest.mark.parametrize("way", WAYS)
async def test_all_messages_in_one_page_by_functions_alone_before_1_2_2(
    old_functions_url: str, category: str, way: str
) -> None:
    await check_all_messages(old_functions_url, category, way, None)


async def check_all_messages(url: str, category: str, way: str, condition: str | None) -> None:
    """Check reads of a stream and a category that are longer than the default page."""
    async with AsyncClient(url) as writer:
        types = ["A", "B"] * 600
        await writer.write_messages(f"{category}-1", [NewMessage(each) for each in types])
    count = 1200 if condition is None else 600
    async for store in stores(url, way):
        page = await store.get_stream_messages(f"{category}-1", batch_size=-1, condition=condition)
        assert len(page) == count
        assert (
            await store.get_category_messages(category, batch_size=-1, condition=condition) == page
        )
        group = await store.get_category_messages(
            category, batch_size=-1, group_member=0, group_size=1, condition=condition
        )
        assert group == page


async def test_a_message_db_without_a_function(new_database: NewDatabase) -> None:
    dropped = {
        "write_message": "varchar, varchar, varchar, jsonb, jsonb, bigint",
        "get_stream_messages": "varchar, bigint, bigint, varchar",
        "get_category_messages": "varchar, bigint, bigint, varchar, bigint, bigint, varchar",
        "stream_version": "varchar",
    }
    for function, parameters in dropped.items():
        url = new_database(install=False)
        genuine.install(url)
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(f"drop function message_store.{function}({parameters})".encode())
        with pytest.raises(IncompatibleServerError, match=f"lacks functions .*{function}/"):
            await AsyncClient(make_url(url, user="message_store")).open()

"""Lists of categories and streams: pages, prefixes, hostile names, other collations."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from messagedb import AsyncClient, IncompatibleServerError, NewMessage, ValidationError, schema
from messagedb.clients import CategoryInfo
from tests.conftest import NewDatabase
from tests.support.backend import make_url

HOSTILE = [
    "%",
    "_",
    "a%",
    "A",
    "a'b",
    '"',
    "\\",
    "a\u0301",
    "é",
    "\U0001f600",
    "\uffff",
    "-",
    "a-b",
]


async def list_all_streams(
    client: AsyncClient, category: str, limit: int, prefix: str | None = None
) -> list[str]:
    names: list[str] = []
    while True:
        after = names[-1] if names else None
        page = await client.list_streams(category, prefix=prefix, after=after, limit=limit)
        names += [stream.name for stream in page]
        if len(page) < limit:
            return names


async def test_a_listed_stream_has_the_place_of_its_last_message(
    client: AsyncClient, category: str
) -> None:
    for _ in range(3):
        await client.write_message(f"{category}-1", NewMessage("A"))
    last = await client.get_last_stream_message(f"{category}-1")
    assert last is not None
    (stream,) = await client.list_streams(category)
    assert stream.name == f"{category}-1"
    assert stream.version == 2
    assert stream.last_global_position == last.global_position
    assert stream.last_time == last.time


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages_list_each_stream_once(client: AsyncClient, category: str, limit: int) -> None:
    written = {category, *(f"{category}-{id}" for id in HOSTILE)}
    for name in written:
        await client.write_message(name, NewMessage("A"))
    for neighbor in (f"{category}a-1", f"{category}+1-1", f"{category[:-1]}-1"):
        await client.write_message(neighbor, NewMessage("A"))
    names = await list_all_streams(client, category, limit)
    assert len(names) == len(written)
    assert set(names) == written


@pytest.mark.parametrize("prefix", ["a", "A", "a%", "%", "_", "-", "a-", "\U0001f600", "\\", "x"])
async def test_a_prefix_is_text_and_no_pattern(
    client: AsyncClient, category: str, prefix: str
) -> None:
    for id in HOSTILE:
        await client.write_message(f"{category}-{id}", NewMessage("A"))
    await client.write_message(category, NewMessage("A"))
    expected = {f"{category}-{id}" for id in HOSTILE if id.startswith(prefix)}
    assert set(await list_all_streams(client, category, 2, prefix)) == expected


@pytest.fixture
def dictionary_url(server_url: str) -> Iterator[str]:
    """Return the URL of a store whose database sorts names as a dictionary does, if it can."""
    name = f"messagedb_test_{uuid.uuid4().hex}"
    create = f"CREATE DATABASE {name} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    with psycopg.connect(server_url, autocommit=True) as conn:
        try:
            conn.execute(f"{create} LOCALE_PROVIDER icu ICU_LOCALE 'en-US'".encode())
        except (psycopg.errors.FeatureNotSupported, psycopg.errors.SyntaxError):
            conn.execute(create.encode())  # built without ICU, or older than PostgreSQL 15
        url = make_url(server_url, dbname=name)
        schema.install(url)
        yield url
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def test_other_names_between_those_of_a_prefix_are_left_out(dictionary_url: str) -> None:
    # In a dictionary "ab" is between "Aa" and "Ac".
    written = [f"account-{id}" for id in ("Aa", "ab", "Ac", *HOSTILE)]
    async with AsyncClient(dictionary_url) as client:
        for name in (*written, "Account-Ab", "account+1-1"):
            await client.write_message(name, NewMessage("A"))
        assert set(await list_all_streams(client, "account", 2)) == set(written)
        for prefix in ("A", "a", "\uffff", "é"):
            expected = {name for name in written if name.startswith(f"account-{prefix}")}
            assert set(await list_all_streams(client, "account", 1, prefix)) == expected
        categories = await client.list_categories()
        assert {category.name for category in categories} == {"account", "Account", "account+1"}


async def test_categories_are_listed_once_each_with_their_last_message(
    client: AsyncClient, category: str
) -> None:
    names = [f"{category}{suffix}" for suffix in ("", ":command", "+a", "2")]
    for name in names * 2:
        await client.write_message(f"{name}-1", NewMessage("A"))
    last = await client.get_last_stream_message(f"{category}2-1")
    assert last is not None
    found: list[CategoryInfo] = []
    while True:
        after = found[-1].name if found else None
        page = await client.list_categories(after=after, limit=3)
        found += page
        if len(page) < 3:
            break
    listed = [info.name for info in found]
    assert len(listed) == len(set(listed))
    assert set(names) <= set(listed)
    expected = CategoryInfo(f"{category}2", last.global_position, last.time)
    assert expected in found


async def test_an_empty_store_has_no_names(new_database: NewDatabase) -> None:
    async with AsyncClient(new_database()) as client:
        assert await client.list_categories() == []
        assert await client.list_streams("account") == []
        await client.write_message("-1", NewMessage("InTheCategoryWithoutName"))
        assert [info.name for info in await client.list_categories()] == [""]


async def test_a_role_of_functions_alone_gets_no_list(functions_only_url: str) -> None:
    async with AsyncClient(functions_only_url) as client:
        with pytest.raises(IncompatibleServerError, match="the list of categories needs the table"):
            await client.list_categories()
        with pytest.raises(IncompatibleServerError, match="GRANT SELECT on the table"):
            await client.list_streams("account")


async def test_invalid_arguments_of_lists_are_refused(client: AsyncClient, category: str) -> None:
    for limit in (0, -1, 100_001):
        with pytest.raises(ValidationError, match="limit must be an integer"):
            await client.list_categories(limit=limit)
    with pytest.raises(ValidationError, match="is a stream"):
        await client.list_streams(f"{category}-1")
    with pytest.raises(ValidationError, match="prefix"):
        await client.list_streams(category, prefix="a\0")
    with pytest.raises(ValidationError, match="after"):
        await client.list_categories(after="\udc80")

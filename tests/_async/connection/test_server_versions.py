"""Versions of PostgreSQL that are too old, or newer than the tested ones."""

from __future__ import annotations

import logging

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from messagedb import AsyncClient, IncompatibleServerError, NewMessage
from tests.conftest import NewDatabase
from tests.support.backend import make_url

# A function in the search path says that the server has another version; all else is PostgreSQL.
# A client asks before it sets its own search path.
CLAIM = """
create schema claims;
create function claims.current_setting(text) returns text stable language sql as $$
    select case $1 when 'server_version_num' then '{version}'
                   else pg_catalog.current_setting($1) end
$$;
grant usage on schema claims to public;
"""


def claim(new_database: NewDatabase, version: int) -> str:
    """Return the URL of a store whose server says that it is of another version."""
    url = new_database()
    name = conninfo_to_dict(url)["dbname"]
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(CLAIM.format(version=version).encode())
        conn.execute(f'alter database "{name}" set search_path = claims, pg_catalog'.encode())
    return make_url(url, user="message_store")


@pytest.mark.parametrize("version", [90624, 110022])
async def test_a_server_that_is_too_old(new_database: NewDatabase, version: int) -> None:
    url = claim(new_database, version)
    with pytest.raises(
        IncompatibleServerError, match=f"is PostgreSQL {version // 10000}, and messagedb needs 12"
    ):
        await AsyncClient(url, pooler=True).open()


async def test_a_server_that_is_newer_than_the_tested_ones_is_used_with_one_warning(
    new_database: NewDatabase, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Of each variant its own version: the warning is logged once in a process.
    version = 900000 + 10000 * (len(AsyncClient.__name__) % 10)
    url = claim(new_database, version)
    caplog.set_level(logging.WARNING, "messagedb.client")
    for number in range(3):
        async with AsyncClient(url, pooler=True) as client:
            assert await client.write_message(f"{category}-1", NewMessage("A")) == number
    texts = [each.getMessage() for each in caplog.records if each.name == "messagedb.client"]
    assert len(texts) == 1
    assert f"is PostgreSQL {version // 10000}" in texts[0]


async def test_a_tested_server_gets_no_warning(
    store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "messagedb.client")
    async with AsyncClient(store_url) as client:
        assert await client.message_store_version()
    assert [each for each in caplog.records if "PostgreSQL" in each.getMessage()] == []

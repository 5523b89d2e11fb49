"""Fixtures of the cases that both variants run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest
from psycopg import AsyncConnection

from messagedb import AsyncClient
from tests.conftest import NewDatabase
from tests.support.backend import make_url
from tests.support.pgbouncer import NoPgBouncerError, PgBouncer
from tests.support.store import functions_only


@pytest.fixture(scope="session")
async def client(store_url: str) -> AsyncIterator[AsyncClient]:
    """Return an open client of the run's database."""
    async with AsyncClient(store_url, max_size=4) as client:
        yield client


@pytest.fixture
async def conn(store_url: str) -> AsyncIterator[AsyncConnection[Any]]:
    """Return a psycopg connection of a user: nothing set up, not in autocommit mode."""
    conn = await AsyncConnection.connect(store_url)
    yield conn
    await conn.close()


@pytest.fixture(scope="module")
def pgbouncer(store_url: str) -> Generator[PgBouncer]:
    """Return a PgBouncer in front of the run's database."""
    try:
        pgbouncer = PgBouncer(store_url)
    except NoPgBouncerError as error:
        pytest.skip(str(error))
    yield pgbouncer
    pgbouncer.close()


@pytest.fixture(scope="module")
def functions_only_url(new_database: NewDatabase) -> str:
    """Return the URL of a role that may call the functions and see no table."""
    url = new_database()
    functions_only(url)
    return make_url(url, user="message_store")

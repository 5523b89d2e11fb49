"""Fixtures of the cases that both variants run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg import AsyncConnection

from messagedb import AsyncClient


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

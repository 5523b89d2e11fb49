"""Stores of three sizes, with statistics that are good, missing and wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import Connection

from tests.conftest import NewDatabase

SIZES = [10, 10_000] + ([1_000_000] if os.environ.get("MESSAGEDB_TEST_PLANS") == "full" else [])
"""A store of a million messages is examined by ``nox -s servers`` only."""

FILL = """
insert into message_store.messages (position, stream_name, type, data, metadata)
select n, case when n %% 500 = 0 then 'rare-1' else 'common' || n %% 3 || '-' || n %% 7 end,
    'T', '{}', case when n %% 50 = 0 then '{"correlationStreamName": "origin-1"}'::jsonb end
from generate_series(%s::int, %s::int - 1) as n
"""

# Each is executed on the store after the one before it.
STATISTICS = {
    "of the first ten messages": [],
    "none": [
        "delete from pg_statistic where starelid in (select indexrelid from pg_index where"
        " indrelid = 'message_store.messages'::regclass) or starelid ="
        " 'message_store.messages'::regclass",
        "update pg_class set reltuples = -1, relpages = 0 where oid ="
        " 'message_store.messages'::regclass",
    ],
    "good": ["vacuum analyze message_store.messages"],
    "one row": ["update pg_class set reltuples = 1 where oid = 'message_store.messages'::regclass"],
    "a thousand million rows": [
        "update pg_class set reltuples = 1e9 where oid = 'message_store.messages'::regclass"
    ],
    "one stream": [
        "alter table message_store.messages alter column stream_name set (n_distinct = 1)",
        "analyze message_store.messages",
    ],
    "all streams differ": [
        "alter table message_store.messages alter column stream_name set (n_distinct = -1)",
        "analyze message_store.messages",
    ],
}
"""The statistics of the planner, and how they come to be."""


class Store(NamedTuple):
    """A connection to a store as message_store, its size, and its statistics in words."""

    conn: Connection[Any]
    size: int
    statistics: str


@pytest.fixture(scope="module", params=SIZES)
def filled(request: pytest.FixtureRequest, new_database: NewDatabase) -> tuple[str, int]:
    """Return the URL of a store of each size, whose statistics are of its first ten messages."""
    url = new_database()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("alter table message_store.messages set (autovacuum_enabled = off)")
        conn.execute(FILL, [0, 10])
        conn.execute("analyze message_store.messages")
        conn.execute(FILL, [10, request.param])
    return url, request.param


@pytest.fixture(scope="module", params=STATISTICS)
def store(request: pytest.FixtureRequest, filled: tuple[str, int]) -> Iterator[Store]:
    """Return each store with each of the statistics, in their order."""
    url, size = filled
    with psycopg.connect(url, autocommit=True) as conn:
        for text in STATISTICS[request.param]:
            conn.execute(text.encode())
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("set role message_store")
        conn.execute("set search_path = message_store, public")
        yield Store(conn, size, request.param)

"""Two databases on one server: our schema, and the genuine Message DB."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql

from messagedb._schema.notify_trigger import get_channel
from tests.conformance.calls import TABLES, Databases, Pair
from tests.support import genuine

CHANNEL = get_channel("message_store")
NewDatabase = Callable[..., str]


@pytest.fixture(scope="session")
def databases(new_database: NewDatabase) -> Databases:
    """Return the two databases. Without the genuine one the run is skipped, or fails if required.

    It fails if ``CI`` or ``MESSAGEDB_REQUIRE_GENUINE`` is set.
    """
    url = new_database(install=False)
    genuine.install(url)
    return Databases(ours=new_database(), genuine=url)


def connect(url: str) -> Connection[Any]:
    """Connect with the search_path that the genuine functions need."""
    conn = psycopg.connect(url, autocommit=True)
    conn.execute("set search_path = message_store, public")
    return conn


@pytest.fixture(scope="session")
def long_pair(databases: Databases) -> Iterator[Pair]:
    """Return connections that last for the run, for tests that need no clean table."""
    with connect(databases.ours) as ours, connect(databases.genuine) as genuine:
        yield Pair(ours, genuine)


@pytest.fixture
def pair(databases: Databases) -> Iterator[Pair]:
    """Return fresh sessions on both databases, with empty tables and positions from the start."""
    with connect(databases.ours) as ours, connect(databases.genuine) as genuine:
        made = Pair(ours, genuine)
        made.both(TABLES)
        yield made


@pytest.fixture(params=["ours", "genuine"])
def url(request: pytest.FixtureRequest, databases: Databases) -> str:
    """Return each of the two databases in turn, with an empty table."""
    found = databases.ours if request.param == "ours" else databases.genuine
    with connect(found) as conn:
        conn.execute(TABLES.encode())
    return found


@pytest.fixture(params=["ours", "genuine"])
def fresh_url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    """Return a superuser's URL of a database with a Message DB: ours, or the genuine one."""
    url = new_database(install=request.param == "ours")
    if request.param == "genuine":
        genuine.install(url)
    return url


@pytest.fixture
def heard(fresh_url: str) -> Iterator[Callable[[], list[str]]]:
    """Return a function that returns the notifications since its last call."""
    with psycopg.connect(fresh_url, autocommit=True) as conn:
        conn.execute(sql.SQL("listen {}").format(sql.Identifier(CHANNEL)))

        def collect() -> list[str]:
            # Notifications come in the order of the commits, so none is behind this mark.
            mark = uuid.uuid4().hex
            with psycopg.connect(fresh_url, autocommit=True) as other:
                other.execute("select pg_notify(%s, %s)", [CHANNEL, mark])
            found: list[str] = []
            for notification in conn.notifies(timeout=30):
                if notification.payload == mark:
                    return found
                found.append(notification.payload)
            raise AssertionError(f"the mark did not come within 30 seconds, only {found}")

        yield collect

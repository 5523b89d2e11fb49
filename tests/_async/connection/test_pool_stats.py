"""Statistics of a client's pool, and their metrics."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from messagedb import AsyncClient, NewMessage, StoreUnavailableError, ValidationError
from messagedb.clients import PoolStats
from messagedb.errors import PoolTimeoutError
from messagedb.telemetry import OpenTelemetry
from tests.conftest import NewDatabase
from tests.support.backend import make_url
from tests.support.background_async import Background, eventually
from tests.support.spans import Seen
from tests.support.store import pids, terminate

_ALLOW = 'ALTER DATABASE "{}" ALLOW_CONNECTIONS {}'


async def test_before_it_opens_a_pool_is_empty(store_url: str) -> None:
    client = AsyncClient(store_url, min_size=2, max_size=5)
    assert client.pool_stats() == PoolStats(pool_min=2, pool_max=5)
    await client.close()


async def test_connections_in_use_are_not_available(store_url: str) -> None:
    async with AsyncClient(store_url, min_size=3, max_size=3) as client:
        await eventually(lambda: client.pool_stats().pool_available == 3)
        async with client.transaction(), client.transaction():
            stats = client.pool_stats()
            assert (stats.pool_size, stats.pool_available, stats.pool_max) == (3, 1, 3)
        await eventually(lambda: client.pool_stats().pool_available == 3)
        stats = client.pool_stats()
        assert stats.requests_num == 2
        assert stats.connections_num == 3
        assert (stats.requests_waiting, stats.requests_errors, stats.commits_waiting) == (0, 0, 0)
    assert client.pool_stats() == PoolStats(pool_min=3, pool_max=3)


async def test_an_operation_that_waits_for_a_connection_is_counted(
    store_url: str, category: str
) -> None:
    async with AsyncClient(store_url, max_size=1, timeout=30.0) as client:
        async with client.transaction():
            before = client.pool_stats().requests_queued
            write = Background(client.write_message, f"{category}-1", NewMessage("A"))
            await eventually(lambda: client.pool_stats().requests_waiting == 1)
        assert await write.result() == 0
        stats = client.pool_stats()
        assert (stats.requests_waiting, stats.requests_queued) == (0, before + 1)
        assert stats.requests_errors == 0


async def test_an_operation_that_gets_no_connection_is_counted(store_url: str) -> None:
    async with AsyncClient(store_url, max_size=1, timeout=0.1) as client:
        async with client.transaction():
            with pytest.raises(PoolTimeoutError):
                await client.stream_version("a-1")
        assert client.pool_stats().requests_errors == 1


async def test_a_borrowed_pool_shows_what_all_its_users_do(store_url: str) -> None:
    async with AsyncConnectionPool[AsyncConnection[Any]](
        store_url, min_size=1, max_size=4, open=False
    ) as pool:
        client = AsyncClient(pool=pool)
        assert client.pool_stats() == PoolStats(pool_min=1, pool_max=4)
        await client.open()

        def count_used() -> int:
            stats = client.pool_stats()
            return stats.pool_size - stats.pool_available

        async with pool.connection():
            # Another connection that open() needed may be on its way into the pool.
            await eventually(lambda: count_used() == 1)
            assert client.pool_stats().pool_max == 4
        await client.close()


async def test_connections_that_cannot_be_opened_are_counted(
    new_database: NewDatabase, server_url: str, category: str
) -> None:
    url = new_database()
    name = conninfo_to_dict(url)["dbname"]
    url = make_url(url, application_name=category)
    async with AsyncClient(url, max_size=1, timeout=0.5) as client:
        await client.stream_version("a-1")
        with psycopg.connect(server_url, autocommit=True) as admin:
            admin.execute(_ALLOW.format(name, "false").encode())
        terminate(server_url, pids(server_url, category))
        with pytest.raises(StoreUnavailableError):
            await client.stream_version("a-1")
        await eventually(lambda: client.pool_stats().connections_errors > 0)
        assert client.pool_stats().returns_bad == 1
        with psycopg.connect(server_url, autocommit=True) as admin:
            admin.execute(_ALLOW.format(name, "true").encode())
        await eventually(lambda: client.pool_stats().pool_available == 1)
        assert await client.stream_version("a-1") == -1


async def test_metrics_of_pools(store_url: str, category: str) -> None:
    reader = InMemoryMetricReader()
    telemetry = OpenTelemetry(TracerProvider(), MeterProvider([reader]))
    seen = Seen(telemetry, TracerProvider(), InMemorySpanExporter(), reader)
    async with (
        AsyncClient(store_url, min_size=2, max_size=2) as one,
        AsyncClient(store_url, max_size=7, timeout=0.1) as another,
    ):
        telemetry.observe_pool(one)
        telemetry.observe_pool(another, name="another")
        telemetry.observe_pool(another, name="another")  # once more is no other
        with pytest.raises(ValidationError, match="name 'messagedb'"):
            telemetry.observe_pool(another)
        await eventually(lambda: one.pool_stats().pool_available == 2)
        async with one.transaction() as tx:
            await tx.write_message(f"{category}-1", NewMessage("A"))
            points = seen.points("db.client.connection.count")
        used = {
            point.attributes["db.client.connection.pool.name"]: point.value
            for point in points
            if point.attributes["db.client.connection.state"] == "used"
        }
        assert used["messagedb"] == 1
        most = {
            point.attributes["db.client.connection.pool.name"]: point.value
            for point in seen.points("db.client.connection.max")
        }
        assert most == {"messagedb": 2, "another": 7}
        for name in (
            *("db.client.connection.idle.min", "db.client.connection.pending_requests"),
            *("messagedb.pool.commits_waiting", "db.client.connection.timeouts"),
            "messagedb.pool.connect_errors",
        ):
            assert len(seen.points(name)) == 2, name

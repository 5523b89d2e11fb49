"""Each way that the process can go. No test waits: the time of a timer is changed to now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import procrastinate
import psycopg
import pytest

from messagedb import AsyncClient
from messagedb.testing import given, run_until_quiet_async

from .messages import (
    CancellationDue,
    Ended,
    PaymentDue,
    Placed,
    Shipped,
    ShippingDue,
    fulfillment,
    registry,
)
from .process import DECIDER, Event
from .service import app
from .timers import jobs, run_timers

GRANTS = """
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO message_store;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO message_store;
"""


@asynccontextmanager
async def timers_in(admin_url: str, url: str) -> AsyncIterator[None]:
    """Install procrastinate as the owner of the database, and use it as the store's role."""
    owner = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=admin_url))
    async with owner.open_async():
        await owner.schema_manager.apply_schema_async()
    async with await psycopg.AsyncConnection.connect(admin_url) as connection:
        await connection.execute(GRANTS)
    connector = procrastinate.PsycopgConnector(conninfo=url)
    with jobs.replace_connector(connector) as replaced:
        async with replaced.open_async():
            yield


async def outcome_of(client: AsyncClient, id: str) -> str:
    last = await client.get_last_stream_message(fulfillment.stream_name(id))
    assert last is not None
    return last.decode(Ended).outcome if last.type == "Ended" else last.type


@pytest.mark.asyncio
async def test_orders_are_shipped_or_refused_or_refunded(
    messagedb_url: str, messagedb_admin_url: str
) -> None:
    url = messagedb_url
    async with timers_in(messagedb_admin_url, url), AsyncClient(url, registry=registry) as client:
        await client.write_message("order-1", Placed("lamp", 40))
        await client.write_message("order-2", Placed("house", 400_000))
        await client.write_message("order-3", Placed("piano", 900))
        await run_until_quiet_async(app, url)
        assert await outcome_of(client, "1") == "shipped"
        assert await outcome_of(client, "2") == "not paid"
        assert await outcome_of(client, "3") == "ShippingDue"

        async with await psycopg.AsyncConnection.connect(url) as connection:
            later = await connection.execute("UPDATE procrastinate_jobs SET scheduled_at = now()")
        assert later.rowcount == 2
        await run_timers(url, wait=False)
        await run_until_quiet_async(app, url)
        assert await outcome_of(client, "1") == "shipped"
        assert await outcome_of(client, "3") == "refunded"
        sent = [message.type async for message in client.read_stream("payment:command-3")]
        assert sent == ["Pay", "Refund"]


def test_a_shipment_that_left_before_it_could_be_cancelled_is_not_refunded() -> None:
    late: list[Event] = [PaymentDue("piano", 900), ShippingDue(), CancellationDue()]
    given(DECIDER, *late).when(Shipped()).then(Ended("shipped late"))

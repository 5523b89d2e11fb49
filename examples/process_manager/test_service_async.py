"""Each way that the process can go. No test waits: the time of a timer is changed to now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import procrastinate
import psycopg
import pytest

from messagedb import AsyncClient
from messagedb.testing import run_until_quiet_async

from .messages import Ended, Placed, fulfillment, registry
from .service_async import app
from .timers_async import jobs, run_timers

MAKE_DUE = "UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'"


@asynccontextmanager
async def timers_in(url: str) -> AsyncIterator[None]:
    """Use procrastinate as the store's role."""
    with jobs.replace_connector(procrastinate.PsycopgConnector(conninfo=url)) as replaced:
        async with replaced.open_async():
            yield


async def outcome_of(client: AsyncClient, id: str) -> str:
    last = await client.get_last_stream_message(fulfillment.stream_name(id))
    assert last is not None
    return last.decode(Ended).outcome if last.type == "Ended" else last.type


@pytest.mark.asyncio
async def test_orders_are_shipped_or_refused_or_refunded(store_url: str) -> None:
    async with timers_in(store_url), AsyncClient(store_url, registry=registry) as client:
        await client.write_message("order-1", Placed("lamp", 40))
        await client.write_message("order-2", Placed("house", 400_000))
        await client.write_message("order-3", Placed("piano", 900))
        await run_until_quiet_async(app, store_url)
        assert await outcome_of(client, "1") == "shipped"
        assert await outcome_of(client, "2") == "not paid"
        assert await outcome_of(client, "3") == "ShippingDue"

        async with await psycopg.AsyncConnection.connect(store_url) as connection:
            later = await connection.execute(MAKE_DUE)
        assert later.rowcount == 2
        await run_timers(store_url, wait=False)
        await run_until_quiet_async(app, store_url)
        assert await outcome_of(client, "1") == "shipped"
        assert await outcome_of(client, "3") == "refunded"
        sent = [message.type async for message in client.read_stream("payment:command-3")]
        assert sent == ["Pay", "Refund"]

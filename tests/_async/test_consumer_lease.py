"""The lease of a consumer, as others on the server see it."""

from __future__ import annotations

from typing import Any

import psycopg

from messagedb import AsyncClient, AsyncConsumer, Message
from tests.support.backend import make_url


async def test_the_open_transaction_of_the_lease_holds_no_snapshot(
    store_url: str, database_url: str, category: str
) -> None:
    """Vacuum would keep all that is deleted after it, for as long as the consumer runs."""
    async with AsyncClient(make_url(store_url, application_name=category)) as client:
        consumer = AsyncConsumer(client, category, identifier="lease")

        @consumer.handler
        async def handle(message: Message[Any]) -> None:
            raise AssertionError("nothing is written")

        async with consumer.running():
            await consumer.when_caught_up(timeout=10)
            with psycopg.connect(database_url, autocommit=True) as conn:
                held = conn.execute(
                    "select backend_xmin, backend_xid from pg_stat_activity"
                    " where application_name = %s and state = 'idle in transaction'",
                    [category],
                ).fetchall()
    assert held == [(None, None)]

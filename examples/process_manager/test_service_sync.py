"""Each way that the process can go, with threads. No test waits: a timer is changed to now."""

from __future__ import annotations

import procrastinate
import psycopg

from messagedb import Client
from messagedb.testing import run_until_quiet

from .messages import Ended, Placed, fulfillment, registry
from .service_sync import app
from .timers_sync import jobs, run_timers

MAKE_DUE = "UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'"


def outcome_of(client: Client, id: str) -> str:
    last = client.get_last_stream_message(fulfillment.stream_name(id))
    assert last is not None
    return last.decode(Ended).outcome if last.type == "Ended" else last.type


def test_orders_are_shipped_or_refused_or_refunded(store_url: str) -> None:
    connector = procrastinate.PsycopgConnector(conninfo=store_url)
    with Client(store_url, registry=registry) as client, jobs.replace_connector(connector):
        client.write_message("order-4", Placed("lamp", 40))
        client.write_message("order-5", Placed("house", 400_000))
        client.write_message("order-6", Placed("piano", 900))
        run_until_quiet(app, store_url)
        assert outcome_of(client, "4") == "shipped"
        assert outcome_of(client, "5") == "not paid"
        assert outcome_of(client, "6") == "ShippingDue"

        with psycopg.connect(store_url) as connection:
            later = connection.execute(MAKE_DUE)
        assert later.rowcount == 2
        run_timers(store_url, wait=False)
        run_until_quiet(app, store_url)
        assert outcome_of(client, "4") == "shipped"
        assert outcome_of(client, "6") == "refunded"
        sent = [message.type for message in client.read_stream("payment:command-6")]
        assert sent == ["Pay", "Refund"]

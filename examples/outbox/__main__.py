"""Publish the category ``order`` of the store at ``MESSAGEDB_URL`` until SIGTERM or Ctrl-C.

``python -m examples.outbox rabbitmq amqp://guest:guest@localhost/ [--sync]``, or ``nats`` or
``redis`` with an address.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

from messagedb import AsyncClient, Client

from . import (
    nats_async,
    outbox_async,
    outbox_sync,
    rabbitmq_async,
    rabbitmq_sync,
    redis_async,
    redis_sync,
)


async def run_async(store: str, publisher: outbox_async.Publisher) -> None:
    """Run the outbox of asyncio."""
    async with AsyncClient(store) as client:
        await outbox_async.create_outbox(client, publisher).run(signals=True)
    await publisher.close()


def run_sync(store: str, publisher: outbox_sync.Publisher) -> None:
    """Run the outbox of threads."""
    with Client(store) as client:
        outbox_sync.create_outbox(client, publisher).run(signals=True)
    publisher.close()


WITH_ASYNCIO: dict[str, Callable[[str], outbox_async.Publisher]] = {
    "nats": nats_async.Nats,
    "rabbitmq": rabbitmq_async.RabbitMQ,
    "redis": redis_async.Redis,
}
WITH_THREADS: dict[str, Callable[[str], outbox_sync.Publisher]] = {
    "rabbitmq": rabbitmq_sync.RabbitMQ,
    "redis": redis_sync.Redis,
}


def main(broker: str, url: str, variant: str = "") -> None:
    """Run the outbox of a broker."""
    store = os.environ["MESSAGEDB_URL"]
    if variant == "--sync":
        run_sync(store, WITH_THREADS[broker](url))
    else:
        asyncio.run(run_async(store, WITH_ASYNCIO[broker](url)))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""One process of the trial: a partitioned consumer that records each message that it handles."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from typing import Any

from messagedb import AsyncClient, AsyncConsumer, AsyncContext, Client, Consumer, Context, Message

RECORD = b"insert into trial_effects (worker, stream_name, n) values (%s, %s, %s)"


def main() -> int:
    """Run a consumer of the variant until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("conninfo")
    parser.add_argument("category")
    parser.add_argument("name")
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--lease-timeout", type=float, required=True)
    parser.add_argument("--transactional", action="store_true")
    parser.add_argument("--threads", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    options: dict[str, Any] = {
        "identifier": "trial",
        "partitions": arguments.partitions,
        "member_name": arguments.name,
        "lease_timeout": arguments.lease_timeout,
        "transactional": arguments.transactional,
        "batch_size": 100,
    }
    if arguments.threads:
        run_threads(arguments.conninfo, arguments.category, arguments.name, options)
    else:
        asyncio.run(run_tasks(arguments.conninfo, arguments.category, arguments.name, options))
    return 0


async def run_tasks(conninfo: str, category: str, name: str, options: dict[str, Any]) -> None:
    """Run the async variant."""
    async with AsyncClient(conninfo, max_size=6, command_timeout=5) as client:
        consumer = AsyncConsumer(client, category, **options)

        @consumer.handler
        async def record(message: Message[Any], context: AsyncContext) -> None:
            values = (name, message.stream_name, message.data["n"])
            if options["transactional"]:
                await context.transaction.connection.execute(RECORD, values)
            else:
                async with client.transaction() as transaction:
                    await transaction.connection.execute(RECORD, values)

        await consumer.run(signals=True)


def run_threads(conninfo: str, category: str, name: str, options: dict[str, Any]) -> None:
    """Run the sync variant."""
    with Client(conninfo, max_size=6, command_timeout=5) as client:
        consumer = Consumer(client, category, **options)

        @consumer.handler
        def record(message: Message[Any], context: Context) -> None:
            values = (name, message.stream_name, message.data["n"])
            if options["transactional"]:
                context.transaction.connection.execute(RECORD, values)
            else:
                with client.transaction() as transaction:
                    transaction.connection.execute(RECORD, values)

        consumer.run(signals=True)


if __name__ == "__main__":
    sys.exit(main())

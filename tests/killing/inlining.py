"""The program that is killed while it writes with an inline read model, of either variant."""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import suppress
from typing import Any

from messagedb import (
    AsyncClient,
    AsyncContext,
    AsyncReadModel,
    AsyncTransaction,
    Client,
    Context,
    Message,
    NewMessage,
    ReadModel,
    RetryableError,
)

CREATE = """
CREATE TABLE {table} (line bigserial, position bigint PRIMARY KEY, times int DEFAULT 1)
"""
NOTE = """
INSERT INTO {table} AS t (position) VALUES (%s)
ON CONFLICT (position) DO UPDATE SET times = t.times + 1
"""


class RolledBackError(Exception):
    """A writer changes its mind."""


def make(client: Client, category: str) -> ReadModel:
    """Return the read model of the sync variant."""
    model = ReadModel(
        client,
        category,
        name="noted",
        version=1,
        create=CREATE,
        schema=category.lower(),
        inline=True,
        poll_interval=0.01,
    )

    @model.handler("Noted")
    def note(message: Message[Any], context: Context) -> None:
        conn = context.transaction.connection
        conn.execute(model.format_sql(NOTE), [message.global_position])

    return model


def write(client: Client, model: ReadModel, category: str) -> None:
    """Write one or two messages, with the model or without it, or change one's mind."""
    stream, others = f"{category}-{random.randrange(5)}", f"{category}Other-1"
    message = NewMessage("Noted")
    if random.random() < 0.3:
        client.write_message(stream, message)
        return
    with suppress(RolledBackError, RetryableError), client.transaction(read_models=[model]) as tx:
        if random.random() < 0.05:
            # Sometimes after the other category, sometimes before it.
            tx.write_message(others, NewMessage("Noted"))
        with suppress(RolledBackError), tx.savepoint():
            tx.write_message(stream, NewMessage("Noted"))
            if random.random() < 0.3:
                model.catch_up(tx)
            if random.random() < 0.3:
                raise RolledBackError
        tx.write_message(stream, message)
        if random.random() < 0.05:
            model.catch_up(tx)
            tx.write_message(others, NewMessage("Noted"))
        if random.random() < 0.2:
            raise RolledBackError


def write_on(url: str, category: str) -> None:
    """Write until it is killed."""
    with Client(url, max_size=2) as client:
        model = make(client, category)
        while True:
            write(client, model, category)


async def write_on_async(url: str, category: str) -> None:
    """Write until it is killed, with the async variant."""
    async with AsyncClient(url, max_size=2) as client:
        model = AsyncReadModel(
            client,
            category,
            name="noted",
            version=1,
            create=CREATE,
            schema=category.lower(),
            inline=True,
        )

        @model.handler("Noted")
        async def note(message: Message[Any], context: AsyncContext) -> None:
            conn = context.transaction.connection
            await conn.execute(model.format_sql(NOTE), [message.global_position])

        async def change(tx: AsyncTransaction) -> None:
            await tx.write_message(f"{category}-9", NewMessage("Noted"))
            await tx.write_message(f"{category}-8", NewMessage("Noted"))
            if random.random() < 0.2:
                raise RolledBackError

        while True:
            with suppress(RolledBackError):
                # The deadlocks of others may hit it.
                await client.run_transaction(change, max_attempts=100, read_models=[model])


def run_on(url: str, category: str) -> None:
    """Run the model until it is killed."""
    with Client(url, max_size=2) as client:
        make(client, category).run()


def main(role: str, url: str, category: str) -> None:
    """Play a role."""
    if role == "async":
        asyncio.run(write_on_async(url, category))
    elif role == "run":
        run_on(url, category)
    else:
        write_on(url, category)


if __name__ == "__main__":
    main(*sys.argv[1:])

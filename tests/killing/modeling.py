"""The program that is killed while it rebuilds a read model, of either variant."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from messagedb import AsyncClient, AsyncContext, AsyncReadModel, Client, Context, Message, ReadModel
from tests.killing.worker import GATE, PASS_GATE

CREATE = "CREATE TABLE {table} (n int PRIMARY KEY, times int NOT NULL)"
NOTE = """
INSERT INTO {table} AS t VALUES (%s, 1) ON CONFLICT (n) DO UPDATE SET times = t.times + 1
"""
LAST = 9
"""The number of the message whose handler waits for the gate after its effect."""


def rebuild(url: str, category: str, version: int) -> bool:
    """Rebuild a version with the sync variant."""
    with Client(url) as client:
        model = ReadModel(
            client, category, name="noted", version=version, create=CREATE, schema=category.lower()
        )

        @model.handler("Noted")
        def note(message: Message[Any], context: Context) -> None:
            conn = context.transaction.connection
            conn.execute(model.format_sql(NOTE), [message.data["n"]])
            if message.data["n"] == LAST:
                conn.execute(PASS_GATE, [GATE, GATE])

        return model.rebuild()


async def rebuild_async(url: str, category: str, version: int) -> bool:
    """Rebuild a version with the async variant."""
    async with AsyncClient(url) as client:
        model = AsyncReadModel(
            client, category, name="noted", version=version, create=CREATE, schema=category.lower()
        )

        @model.handler("Noted")
        async def note(message: Message[Any], context: AsyncContext) -> None:
            conn = context.transaction.connection
            await conn.execute(model.format_sql(NOTE), [message.data["n"]])
            if message.data["n"] == LAST:
                await conn.execute(PASS_GATE, [GATE, GATE])

        return await model.rebuild()


def main(variant: str, url: str, category: str, version: str) -> None:
    """Rebuild with a variant."""
    if variant == "sync":
        shown = rebuild(url, category, int(version))
    else:
        shown = asyncio.run(rebuild_async(url, category, int(version)))
    print(shown)


if __name__ == "__main__":
    main(*sys.argv[1:])

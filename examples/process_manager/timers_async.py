"""Delayed messages, by procrastinate in the same database."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import procrastinate
from psycopg import AsyncConnection

from messagedb import AsyncClient, NewMessage

jobs = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ.get("MESSAGEDB_URL", ""))
)


@jobs.task(name="write_message", pass_context=True, retry=True)
async def write_message(
    context: procrastinate.JobContext, stream_name: str, type: str, id: str
) -> None:
    client: AsyncClient = context.additional_context["client"]
    await client.write_message(stream_name, NewMessage(type, {}, id=UUID(id)))


async def write_later(
    connection: AsyncConnection[Any], delay: timedelta, stream_name: str, type: str, id: UUID
) -> None:
    """Write a message after a delay, if the transaction of the connection is committed."""
    job = write_message.configure(schedule_at=datetime.now(UTC) + delay, connection=connection)
    await job.defer_async(stream_name=stream_name, type=type, id=str(id))


async def run_timers(url: str, *, wait: bool = True) -> None:
    """Write the messages whose time has come; with *wait* until a signal."""
    async with AsyncClient(url) as client:
        await jobs.run_worker_async(wait=wait, additional_context={"client": client})

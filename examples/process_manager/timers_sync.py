"""Delayed messages, by procrastinate in the same database."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import procrastinate
from psycopg import Connection

from messagedb import Client, NewMessage

jobs = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ.get("MESSAGEDB_URL", ""))
)


@jobs.task(name="write_message", pass_context=True, retry=True)
def write_message(context: procrastinate.JobContext, stream_name: str, type: str, id: str) -> None:
    client: Client = context.additional_context["client"]
    client.write_message(stream_name, NewMessage(type, {}, id=UUID(id)))


def write_later(
    connection: Connection[Any], delay: timedelta, stream_name: str, type: str, id: UUID
) -> None:
    """Write a message after a delay, if the transaction of the connection is committed."""
    job = write_message.configure(schedule_at=datetime.now(UTC) + delay, connection=connection)
    job.defer(stream_name=stream_name, type=type, id=str(id))


def run_timers(url: str, *, wait: bool = True) -> None:
    """Write the messages whose time has come; with *wait* until a signal."""
    with Client(url) as client:
        jobs.run_worker(wait=wait, additional_context={"client": client})

"""The rivals: message-db-py, eventsourcing, and bare psycopg with the server's own functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

import msgspec
import psycopg
from eventsourcing.persistence import (  # pyright: ignore[reportMissingImports]
    InfrastructureFactory,
    StoredEvent,
)
from eventsourcing.utils import Environment  # pyright: ignore[reportMissingImports]
from message_db.client import MessageDB  # pyright: ignore[reportMissingImports]
from psycopg import AsyncRawCursor, RawCursor
from psycopg.conninfo import conninfo_to_dict

from . import payload

WRITE: Final = b"""
SELECT message_store.write_message(
    $1::varchar, $2::varchar, $3::varchar, $4::jsonb, $5::jsonb, $6::bigint)
"""
READ_STREAM: Final = b"""
SELECT id, stream_name, type, position, global_position, data, metadata, time
FROM message_store.get_stream_messages($1::varchar, $2::bigint, $3::bigint)
"""
READ_CATEGORY: Final = b"""
SELECT id, stream_name, type, position, global_position, data, metadata, time
FROM message_store.get_category_messages($1::varchar, $2::bigint, $3::bigint)
"""
READ_GROUP: Final = b"""
SELECT id, stream_name, type, position, global_position, data, metadata, time
FROM message_store.get_category_messages(
    $1::varchar, $2::bigint, $3::bigint, NULL, $4::bigint, $5::bigint)
"""

GLOBAL_POSITION: Final = 4
"""The column of the reads that holds the global position."""

Page = list[tuple[Any, ...]]


def connect(conninfo: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect for fast use of bare psycopg: autocommit, and all statements prepared."""
    return psycopg.connect(conninfo, autocommit=True, prepare_threshold=0)


async def connect_async(conninfo: str) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """Connect as `connect` does."""
    return await psycopg.AsyncConnection.connect(conninfo, autocommit=True, prepare_threshold=0)


def parameters(stream: str) -> tuple[Any, ...]:
    """Return the parameters of a message for a bare call.

    The id is generated as ours are: a random one would cost the server more, and so the rival.
    """
    return str(payload.message().id), stream, payload.TYPE, payload.text(), None, None


def write(cursor: RawCursor[Any], stream: str) -> int:
    """Write one message by a bare call."""
    row = cursor.execute(WRITE, parameters(stream)).fetchone()
    assert row is not None
    position: int = row[0]
    return position


async def write_async(cursor: AsyncRawCursor[Any], stream: str) -> int:
    """Write one message by a bare call."""
    await cursor.execute(WRITE, parameters(stream))
    row = await cursor.fetchone()
    assert row is not None
    position: int = row[0]
    return position


def write_pipelined(conn: psycopg.Connection[Any], stream: str, count: int) -> int:
    """Write messages by as many bare calls in one pipeline and one transaction."""
    cursors: list[RawCursor[Any]] = []
    with conn.pipeline(), conn.transaction():
        for _ in range(count):
            cursor = RawCursor(conn)
            cursor.execute(WRITE, parameters(stream))
            cursors.append(cursor)
    row = cursors[-1].fetchone()
    assert row is not None
    position: int = row[0]
    return position


def page(cursor: RawCursor[Any], query: bytes, *parameters: Any) -> Page:
    """Read one page, in binary."""
    return cursor.execute(query, parameters, binary=True).fetchall()


async def page_async(cursor: AsyncRawCursor[Any], query: bytes, *parameters: Any) -> Page:
    """Read one page, in binary."""
    await cursor.execute(query, parameters, binary=True)
    return await cursor.fetchall()


def drain_group(
    cursor: RawCursor[Any], category: str, member: int, size: int, page_size: int
) -> int:
    """Read a category to its end as a member of a group, by the server's own filter."""
    position, count = 1, 0
    while rows := page(cursor, READ_GROUP, category, position, page_size, member, size):
        count += len(rows)
        position = rows[-1][GLOBAL_POSITION] + 1
    return count


class MessageDbPy:
    """message-db-py, a client of Message DB on psycopg2.

    Args:
        conninfo: the store.
        max_connections: of its pool.
    """

    def __init__(self, conninfo: str, max_connections: int = 100) -> None:
        self._client: Any = MessageDB.from_url(conninfo, max_connections=max_connections)

    def write(self, stream: str) -> int:
        """Write one message."""
        position: int = self._client.write(stream, payload.TYPE, payload.DATA)
        return position

    def write_batch(self, stream: str, count: int) -> int:
        """Write messages in one transaction."""
        batch = [(payload.TYPE, payload.DATA, None) for _ in range(count)]
        position: int = self._client.write_batch(stream, batch)
        return position

    def read_stream(self, stream: str, position: int, page_size: int) -> Sequence[dict[str, Any]]:
        """Read one page."""
        messages: list[dict[str, Any]] = self._client.read_stream(stream, position, page_size)
        return messages

    def close(self) -> None:
        """Close its connections."""
        self._client.connection_pool.closeall()


def eventsourcing_environment(admin: str, *, functions: bool) -> dict[str, str]:
    """Return the settings of eventsourcing for a database.

    Args:
        admin: the database, for a role that may make tables in it.
        functions: whether it writes through a function in the database.
    """
    known = conninfo_to_dict(admin)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(known["dbname"]),
        "POSTGRES_HOST": str(known.get("host") or ""),
        "POSTGRES_PORT": str(known.get("port") or "5432"),
        "POSTGRES_USER": str(known.get("user") or ""),
        "POSTGRES_PASSWORD": str(known.get("password") or ""),
        "POSTGRES_ENABLE_DB_FUNCTIONS": "y" if functions else "n",
    }


class EventSourcing:
    """The recorder of an eventsourcing application, which has its own tables.

    Args:
        admin: an empty database, for a role that may create tables in it.
        functions: whether it writes through a function in the database.
    """

    def __init__(self, admin: str, *, functions: bool) -> None:
        environment = eventsourcing_environment(admin, functions=functions)
        self._factory: Any = InfrastructureFactory.construct(Environment("bench", environment))
        self._recorder: Any = self._factory.application_recorder()

    def insert_events(self, count: int) -> None:
        """Store the events of a new originator, in one transaction."""
        originator = uuid4()
        self._recorder.insert_events(
            [
                StoredEvent(originator, version, payload.TYPE, msgspec.json.encode(payload.DATA))
                for version in range(count)
            ]
        )

    def close(self) -> None:
        """Close its connections."""
        self._factory.close()

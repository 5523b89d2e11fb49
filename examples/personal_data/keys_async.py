"""The table of keys: the only place where a person can be forgotten, and has to be."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection

from .sealing import new_key

CREATE = "CREATE TABLE person_keys (person text PRIMARY KEY, key bytea NOT NULL)"
GET = "SELECT key FROM person_keys WHERE person = %s"
ADD = "INSERT INTO person_keys VALUES (%s, %s) ON CONFLICT DO NOTHING"
DELETE = "DELETE FROM person_keys WHERE person = %s"


async def find_key(connection: AsyncConnection[Any], person: str) -> bytes | None:
    """Return the key of a person, None if there is none."""
    row = await (await connection.execute(GET, [person])).fetchone()
    return None if row is None else bytes(row[0])


async def get_key(connection: AsyncConnection[Any], person: str) -> bytes:
    """Return the key of a person, a new one if there is none."""
    await connection.execute(ADD, [person, new_key()])
    key = await find_key(connection, person)
    assert key is not None, "it was deleted meanwhile: run the transaction again"
    return key


async def delete_key(connection: AsyncConnection[Any], person: str) -> None:
    """Forget a person."""
    await connection.execute(DELETE, [person])

"""The table of keys: the only place where a person can be forgotten, and has to be."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from .keys_async import ADD, DELETE, GET
from .sealing import new_key


def find_key(connection: Connection[Any], person: str) -> bytes | None:
    """Return the key of a person, None if there is none."""
    row = connection.execute(GET, [person]).fetchone()
    return None if row is None else bytes(row[0])


def get_key(connection: Connection[Any], person: str) -> bytes:
    """Return the key of a person, a new one if there is none."""
    connection.execute(ADD, [person, new_key()])
    key = find_key(connection, person)
    assert key is not None, "it was deleted meanwhile: run the transaction again"
    return key


def delete_key(connection: Connection[Any], person: str) -> None:
    """Forget a person."""
    connection.execute(DELETE, [person])

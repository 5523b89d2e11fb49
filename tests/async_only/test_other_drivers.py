"""Connections of other drivers, whose transactions cannot contain a message, are refused."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

import django.db
import pytest
from psycopg.conninfo import conninfo_to_dict

from messagedb import AsyncClient, Client, ValidationError


async def test_a_connection_of_another_driver_is_refused_with_what_works(database_url: str) -> None:
    values = conninfo_to_dict(database_url)
    address: dict[str, Any] = {
        "host": values.get("host"),
        "port": values.get("port"),
        "user": values.get("user"),
        "password": values.get("password"),
        "database": values.get("dbname"),
    }
    asyncpg: Any = import_module("asyncpg")
    psycopg2: Any = import_module("psycopg2")
    conn: Any = await asyncpg.connect(**address)
    other: Any = psycopg2.connect(**address)
    refusals: tuple[tuple[Any, str], ...] = (
        (conn, "asyncpg's transactions cannot contain it: connect with psycopg instead"),
        (other, r"psycopg2's transactions cannot contain it: connect with psycopg \(version 3"),
        (django.db.connection, r"Of Django pass connection\.connection"),
        (None, "of psycopg or a session of SQLAlchemy, not NoneType. Nothing was sent"),
    )
    try:
        for given, text in refusals:
            wrong = cast("Any", given)
            for client in (AsyncClient(database_url), Client(database_url)):
                with pytest.raises(ValidationError, match=text):
                    client.bind(wrong)
    finally:
        await conn.close()
        other.close()
